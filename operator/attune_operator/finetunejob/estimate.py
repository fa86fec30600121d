"""The estimate of a run as it goes on: preflight's, then by the speed that was measured, then what it came to. Pure."""

from datetime import datetime
from typing import Any, NamedTuple

from attune_contract.enums import Stage
from attune_contract.outcome import ActualFigures, CostRange, DurationRange, Estimate, Outcome, TrainingFigures
from attune_contract.progress import Progress
from attune_contract.quantities import duration_text, memory_text
from attune_operator.api.finetunejob import Attempt
from attune_operator.finetunejob.cost import amount, cost, price_of_an_hour
from attune_operator.finetunejob.snapshot import Snapshot
from attune_operator.settings import Settings

FEWEST_MEASURED = 20
"""Steps that must have been measured before the estimate goes by them."""
SPREAD = 0.1
"""How far the rest of a training may be from its first measured steps, as a share."""


def known(seen: Snapshot, outcome: Outcome | None) -> Estimate | None:
    """The estimate so far: what the stage that ended just now said, or what the status remembers."""
    return (outcome.estimate if outcome else None) or seen.run.status.estimate


def estimate(
    seen: Snapshot, attempts: tuple[Attempt, ...], outcome: Outcome | None, settings: Settings
) -> Estimate | None:
    """The estimate as the status shall have it.

    It is refined once, from the first answer of the training pod that tells the speed of enough steps (or, where none
    was caught, from the training's Outcome), and stays so: a figure that changed with every look would be written with
    every look.

    Args:
        seen: the run as it was read.
        attempts: the record as it shall be.
        outcome: what the attempt that ended just now said.
        settings: sizes of the stages, for the cost.
    """
    found, trained = known(seen, outcome), outcome.training if outcome else None
    training = [a for a in attempts if a.stage is Stage.TRAIN]
    if found is None or not training:
        return found
    if found.measured_steps is None and (speed := _speed(seen.progress, training[-1], trained)):
        found = _refined(found, seen, training[-1], speed, settings)
    return found if trained is None else _with_actual(found, seen, tuple(training), trained, settings)


class _Speed(NamedTuple):
    """What was measured."""

    seconds_per_step: float
    measured: int
    """Steps that it is the mean of."""
    done: int
    """Steps done when it was said."""
    total: int
    """Steps of the whole training."""


def _speed(sample: Progress | None, attempt: Attempt, trained: TrainingFigures | None) -> _Speed | None:
    """The speed that a running pod, or a training that is done, tells of."""
    if trained is not None:
        said = (trained.seconds_per_step, trained.measured_steps, trained.steps, trained.steps)
    elif sample is not None and (sample.stage, sample.attempt) == (Stage.TRAIN, attempt.number):
        said = (sample.seconds_per_step, sample.measured_steps, sample.step, sample.total_steps)
    else:
        return None
    seconds, measured, done, total = said
    if not seconds or not total or (measured or 0) < FEWEST_MEASURED:
        return None
    return _Speed(seconds, measured or 0, done, total)


def _refined(found: Estimate, seen: Snapshot, attempt: Attempt, speed: _Speed, settings: Settings) -> Estimate:
    """Duration and cost by the measured speed; the time until the first step is known by now, and costs as much."""
    length = speed.seconds_per_step * speed.total
    low, high = (1 - SPREAD) * length, (1 + SPREAD) * length
    until = datetime.fromisoformat(attempt.end_time) if attempt.end_time else seen.now
    held = (until - datetime.fromisoformat(attempt.start_time)).total_seconds()
    start = max(0.0, held - speed.done * speed.seconds_per_step)
    update: dict[str, Any] = {
        "duration": DurationRange(low=duration_text(low), high=duration_text(high)),
        "measured_steps": speed.measured,
        "assumptions": (_measured(speed), *found.assumptions),
    }
    if seen.runtime is not None and (an_hour := price_of_an_hour(seen.run, seen.runtime, Stage.TRAIN, settings)):
        money = [amount(start + seconds, an_hour) for seconds in (low, high)]
        update["cost"] = CostRange(low=money[0], high=money[1], currency=seen.runtime.spec.price.currency)
    return found.model_copy(update=update)


def _measured(speed: _Speed) -> str:
    return (
        f"Time and cost go by {speed.measured} measured steps of {speed.seconds_per_step:.3g} s, give or take "
        f"{SPREAD:.0%}; what follows about speed was assumed before."
    )


def _with_actual(
    found: Estimate, seen: Snapshot, training: tuple[Attempt, ...], trained: TrainingFigures, settings: Settings
) -> Estimate:
    peak = trained.peak_memory_bytes
    spent = cost(seen.run, seen.runtime, training, seen.now, settings) if seen.runtime else None
    actual = ActualFigures(
        steps=trained.steps,
        duration=duration_text(trained.seconds),
        memory_per_gpu=memory_text(peak) if peak else None,
        cost=spent.amount if spent else None,
    )
    return found.model_copy(update={"actual": actual})

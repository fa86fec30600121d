"""What spec.budget leaves of a run. Pure.

Time and money are counted while pods are on nodes, over all attempts, failed ones too: a run that waits in a queue, for
a person or for a larger budget uses up neither. The train stage is told what is left (`RunConfig.deadline_seconds`) and
stops by itself, with a checkpoint; what does not stop is ended by the operator.
"""

import math
from datetime import datetime
from decimal import ROUND_CEILING, Decimal

from attune_contract.enums import Stage
from attune_contract.quantities import duration_text, seconds
from attune_operator.api.conditions import Reason
from attune_operator.api.finetunejob import Attempt, FineTuneJob
from attune_operator.api.tuningruntime import TuningRuntime
from attune_operator.finetunejob.cost import held_seconds, price_of_an_hour, spent
from attune_operator.finetunejob.waiting import Hold
from attune_operator.settings import Settings

WORTH_STARTING = 0.05
"""Share of a limit that must be left for another attempt once one has stopped at it: clocks of nodes differ, and an
attempt that only loads the model would cost without getting further."""
_HOUR = Decimal(3600)
_CENT = Decimal("0.01")


def left(
    run: FineTuneJob,
    runtime: TuningRuntime,
    attempts: tuple[Attempt, ...],
    stage: Stage,
    *,
    now: datetime,
    settings: Settings,
) -> float | None:
    """Seconds that a stage may run until a limit of the budget is reached, negative once it is; None: no limit.

    Args:
        run: the run.
        runtime: its runtime, for the prices.
        attempts: the record.
        stage: whose price an hour counts.
        now: end of an attempt that is still open.
        settings: sizes of the CPU stages.
    """
    budget = run.spec.budget
    found: list[float] = []
    if budget is not None and budget.max_duration is not None:
        found.append(seconds(budget.max_duration) - float(sum(held_seconds(a, now) for a in attempts)))
    if budget is not None and budget.max_cost is not None:
        money = Decimal(budget.max_cost) - spent(run, runtime, attempts, now, settings)
        price = price_of_an_hour(run, runtime, stage, settings)
        if price:
            found.append(float(money / price * _HOUR))
        elif money < 0:
            found.append(0.0)
    return min(found, default=None)


def exhausted(
    run: FineTuneJob,
    runtime: TuningRuntime,
    attempts: tuple[Attempt, ...],
    stage: Stage,
    *,
    now: datetime,
    settings: Settings,
) -> Hold | None:
    """Why no further attempt is started for want of budget, or None where there is enough."""
    remaining = left(run, runtime, attempts, stage, now=now, settings=settings)
    if remaining is None:
        return None
    stopped = bool(attempts) and attempts[-1].reason == Reason.BUDGET_EXCEEDED
    whole = left(run, runtime, (), stage, now=now, settings=settings) or 0.0
    share = WORTH_STARTING if stopped else 0.0
    if remaining > share * whole:
        return None
    money = spent(run, runtime, attempts, now, settings)
    length = sum((held_seconds(a, now) for a in attempts), Decimal(0))
    least = _least(run, money, length, share)
    message = (
        f"The run has used up spec.budget ({limits(run)}): its pods ran for {length:.0f} s"
        f"{f' and cost {money:.2f} {runtime.spec.price.currency}' if money else ''}. Everything is kept; raise "
        f"spec.budget to {least} at least, or remove it, and it goes on from its last complete checkpoint."
    )
    return Hold(Reason.BUDGET_EXCEEDED, message)


def _least(run: FineTuneJob, money: Decimal, length: Decimal, share: float) -> str:
    """The smallest limits with which the run goes on, of those that are in its way: to the cent, and to the minute."""
    budget, worth = run.spec.budget, 1 - Decimal(str(share))
    named: list[str] = []
    if budget is not None and budget.max_cost is not None:
        least = (money / worth + _CENT).quantize(_CENT, ROUND_CEILING)
        named += [f"maxCost {least}"] if Decimal(budget.max_cost) < least else []
    if budget is not None and budget.max_duration is not None:
        minute = 60.0 * (math.floor(length / worth / 60) + 1)
        named += [f"maxDuration {duration_text(minute)}"] if seconds(budget.max_duration) < minute else []
    return " and ".join(named)


def limits(run: FineTuneJob) -> str:
    """The limits that the run has set, for people: `maxCost 5.00, maxDuration 2h`."""
    budget = run.spec.budget
    named = {"maxCost": budget.max_cost, "maxDuration": budget.max_duration} if budget else {}
    return ", ".join(f"{name} {value}" for name, value in named.items() if value is not None)

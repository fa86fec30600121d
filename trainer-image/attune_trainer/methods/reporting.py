"""What is reported of each step: the Trainer's log entries, and how long steps take."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from transformers import TrainerCallback

from attune_trainer.checkpointing.gang import Gang
from attune_trainer.data import canonical
from attune_trainer.methods.base import Job, Step
from attune_trainer.methods.divergence import Record, Remembering, row_ids

MEASURED = 20
"""Steps that the speed is taken from. The very first one apart: it also allocates memory and compiles kernels."""
FEWEST = 2
"""Steps, after the first, without which there is no speed to speak of."""


class Stopwatch:
    """Takes the time of the first steps.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ends: list[float] = []
        self._left_out = 0.0

    def step(self) -> None:
        """One step is done."""
        if len(self._ends) <= MEASURED:
            self._ends.append(self._clock() - self._left_out)

    def leave_out(self, seconds: float) -> None:
        """Something else took so long."""
        self._left_out += seconds

    def mean(self, *, is_last: bool) -> tuple[float, int] | tuple[None, None]:
        """Seconds per step, and over how many; None where too few are done.

        Args:
            is_last: whether no more will come, so that fewer must do.
        """
        steps = len(self._ends) - 1
        if steps < (FEWEST if is_last else MEASURED):
            return None, None
        return (self._ends[-1] - self._ends[0]) / steps, steps


class Reporter(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Turns the Trainer's log entries into steps, and ends a training that goes wrong."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._started = job.clock()
        self._before = 0.0
        self._record: Record | None = None
        self.stopwatch = Stopwatch(job.clock)
        self.history: list[Step] = []

    @property
    def seconds(self) -> float:
        """How long training took so far, over all attempts that it is made of."""
        return self._before + self._job.clock() - self._started

    def state(self) -> dict[str, Any]:
        """What a later attempt must know to go on."""
        return {"history": [asdict(step) for step in self.history], "seconds": round(self.seconds, 3)}

    def resume(self, kept: dict[str, Any]) -> None:
        """Goes on from what an earlier attempt reported.

        Args:
            kept: its `state`.
        """
        self.history = [Step(**step) for step in kept["history"]]
        self._before = float(kept["seconds"])

    def watch_over(self, trainer: Any) -> None:
        """Has the batches of a Trainer remembered until their losses are known to be good."""
        work, data = self._job.work, trainer.train_dataset
        kind = canonical.kind_of(work.method)
        ids = row_ids(lambda: (row.row_id for row in canonical.read(self._job.train, kind)), data.sources)
        rate = work.training.peak_learning_rate(work.tuning.type)
        advice = f"Look at these rows, lower training.learningRate (now {rate:g}) or raise training.warmupRatio."
        self._record = Record(Gang(self._job.process), ids, advice)
        self._record.resume(step.loss for step in self.history)
        data.note_served()
        trainer.data_collator = Remembering(trainer.data_collator, data)
        trainer.record = self._record

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Starts the clock."""
        self._started = self._job.clock()

    def on_step_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Gives a sign of life."""
        self._job.heart.step(f"step {state.global_step + 1} of {state.max_steps}")

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Takes the time of an optimizer step."""
        self.stopwatch.step()

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, Any], **_: Any) -> None:
        """Reports a step.

        Raises:
            DivergedError: its loss is no number, or exploded.
        """
        if "loss" not in logs:  # the summary at the end
            return
        loss = float(logs["loss"])
        if self._record:
            self._record.check(loss, state.global_step, state.max_steps)
        margin = logs.get("rewards/margins")
        speed, measured = self.stopwatch.mean(is_last=state.global_step >= state.max_steps)
        step = Step(
            step=state.global_step,
            total_steps=state.max_steps,
            epoch=float(state.epoch or 0),
            loss=loss,
            learning_rate=float(logs.get("learning_rate", 0)),
            tokens=int(state.num_input_tokens_seen),
            seconds=self.seconds,
            margin=None if margin is None else float(margin),
            seconds_per_step=speed,
            measured_steps=measured,
        )
        self.history.append(step)
        self._job.on_step(step)


def final_loss(history: Sequence[Step], steps: int) -> float:
    """Mean loss over the last tenth of the steps."""
    tail = [s.loss for s in history if s.step > steps - max(1, steps // 10)] or [history[-1].loss]
    return sum(tail) / len(tail)

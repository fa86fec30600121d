"""What is reported of each step: the Trainer's log entries, and how long steps take."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from transformers import TrainerCallback

from attune_trainer.errors import DivergedError
from attune_trainer.methods.base import Job, Step

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
    """Turns the Trainer's log entries into steps, and ends a training whose loss is no number."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._started = job.clock()
        self.stopwatch = Stopwatch(job.clock)
        self.history: list[Step] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Starts the clock."""
        self._started = self._job.clock()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Takes the time of an optimizer step."""
        self.stopwatch.step()

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, Any], **_: Any) -> None:
        """Reports a step.

        Raises:
            DivergedError: its loss is no number.
        """
        if "loss" not in logs:  # the summary at the end
            return
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            rate = self._job.work.training.peak_learning_rate(self._job.work.tuning.type)
            raise DivergedError(
                f"The loss became {loss} at step {state.global_step} of {state.max_steps}. Lower "
                f"training.learningRate (now {rate:g}) or raise training.warmupRatio."
            )
        margin = logs.get("rewards/margins")
        speed, measured = self.stopwatch.mean(is_last=state.global_step >= state.max_steps)
        step = Step(
            step=state.global_step,
            total_steps=state.max_steps,
            epoch=float(state.epoch or 0),
            loss=loss,
            learning_rate=float(logs.get("learning_rate", 0)),
            tokens=int(state.num_input_tokens_seen),
            seconds=self._job.clock() - self._started,
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

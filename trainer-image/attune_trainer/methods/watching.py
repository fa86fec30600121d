"""Watching a training with rows that it does not learn from: their loss, the best weights so far, and when to end.

The rows are a part of train (data/validation.parquet), never of test: what is chosen by them is not measured on them.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from attune_trainer.errors import DivergedError
from attune_trainer.methods.base import Job, Point
from attune_trainer.methods.reporting import Stopwatch

TIMES = 10
"""How often the loss is taken in a training, beside the ends of its epochs."""
_LOSS = "eval_loss"


@dataclass(frozen=True)
class Watched:
    """What watching came to."""

    points: tuple[Point, ...]
    kept: Point
    """The measurement of the weights that the training ends with."""
    stopped_early: bool


class Watch(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Asks the Trainer for the validation loss, and keeps the weights where it was lowest.

    Args:
        job: the training; `keep_best` and `early_stopping` are the manifest's.
        stopwatch: measures steps; what watching takes is left out of it.
    """

    def __init__(self, job: Job, stopwatch: Stopwatch) -> None:
        self._job = job
        self._stopwatch = stopwatch
        self._keeps = job.work.training.keep_best
        self._due: frozenset[int] = frozenset()
        self._asked = 0.0
        self._file = job.folder / "best.pt"
        self.points: list[Point] = []
        self.stopped_early = False

    @property
    def result(self) -> Watched:
        """What watching came to; asked for once training is over."""
        kept = self._best() if self._keeps else self.points[-1]
        return Watched(tuple(self.points), kept, self.stopped_early)

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Lays down when the loss is taken."""
        self._due = frozenset(math.ceil(i * state.max_steps / TIMES) for i in range(1, TIMES + 1))

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Asks for the loss at regular steps."""
        if state.global_step in self._due:
            self._ask(control)

    def on_epoch_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Asks for the loss at the end of an epoch, unless its last step did."""
        if not self.points or self.points[-1].step != state.global_step:
            self._ask(control)

    def on_evaluate(self, _args: Any, state: Any, control: Any, *, metrics: dict[str, Any], **more: Any) -> None:
        """Takes the loss down, keeps the weights if they are the best, and ends a training that gets no better.

        Raises:
            DivergedError: the loss is no number.
        """
        self._stopwatch.leave_out(self._job.clock() - self._asked)
        loss = float(metrics[_LOSS])
        if not math.isfinite(loss):
            raise DivergedError(
                f"The loss on the validation rows became {loss} at step {state.global_step} of {state.max_steps}. "
                "Lower training.learningRate or raise training.warmupRatio."
            )
        point = Point(state.global_step, round(float(state.epoch or 0), 4), loss)
        self.points.append(point)
        best = self._best()
        if self._keeps and best is point and self._job.process.is_first:
            torch.save(_weights(more["model"]), self._file)
        patience = self._job.work.training.early_stopping
        if patience and len(self.points) - 1 - self.points.index(best) >= patience.patience:
            control.should_training_stop = True
            self.stopped_early = state.global_step < state.max_steps

    def on_train_end(self, _args: Any, _state: Any, _control: Any, *, model: Any, **_: Any) -> None:
        """Goes back to the best weights. The first process does: it alone saves them."""
        if self._keeps and self._job.process.is_first and self.points and self._best() is not self.points[-1]:
            _put(model, self._file)

    def _ask(self, control: Any) -> None:
        control.should_evaluate = True
        self._asked = self._job.clock()

    def _best(self) -> Point:
        """The lowest loss; of equal ones the first."""
        return min(self.points, key=lambda point: point.loss)


def attach(job: Job, trainer: Any, rows: Any, stopwatch: Stopwatch) -> None:
    """Has a Trainer watched.

    Args:
        job: the training.
        trainer: of any method.
        rows: the validation rows as its dataset wants them; None: nobody watches.
        stopwatch: measures its steps.
    """
    if rows is not None:
        trainer.eval_dataset = rows
        trainer.add_callback(Watch(job, stopwatch))


def result(trainer: Any) -> Watched | None:
    """What watching a Trainer came to; None where nobody did."""
    watch = next((c for c in trainer.callback_handler.callbacks if isinstance(c, Watch)), None)
    return watch.result if watch and watch.points else None


def _weights(model: Any) -> dict[str, torch.Tensor]:
    """What is trained of a model."""
    return {name: weight.detach().cpu() for name, weight in model.named_parameters() if weight.requires_grad}


def _put(model: Any, file: Path) -> None:
    kept = torch.load(file, weights_only=True)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name in kept:
                weight.copy_(kept[name])

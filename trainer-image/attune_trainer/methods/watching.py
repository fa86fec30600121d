"""Watching a training with rows that it does not learn from: their loss, the best weights so far, and when to end.

The rows are a part of train (data/validation.parquet), never of test: what is chosen by them is not measured on them.
"""

import math
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from attune_trainer.checkpointing.state import BEST
from attune_trainer.errors import DivergedError
from attune_trainer.methods import sharding
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
        self.best_file: Path | None = None
        """The best weights so far, where they are kept; in the first process."""
        self.points: list[Point] = []
        self.stopped_early = False

    @property
    def result(self) -> Watched:
        """What watching came to; asked for once training is over."""
        kept = self._best() if self._keeps else self.points[-1]
        return Watched(tuple(self.points), kept, self.stopped_early)

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Lays down at which steps the loss is taken."""
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
        if self._keeps and best is point:
            self._keep_weights(more["model"], point)
        patience = self._job.work.training.early_stopping
        if patience and len(self.points) - 1 - self.points.index(best) >= patience.patience:
            control.should_training_stop = True
            self.stopped_early = state.global_step < state.max_steps

    def on_train_end(self, _args: Any, _state: Any, _control: Any, *, model: Any, **_: Any) -> None:
        """Goes back to the best weights. The first process does: it alone saves them."""
        if not self._keeps or not self.points or self._best() is self.points[-1]:
            return
        self._job.heart.allow("going back to the best weights")
        sharding.gather(model, is_first=self._job.process.is_first)
        if self._job.process.is_first:
            assert self.best_file is not None, "the best weights were kept when they were"  # noqa: S101
            _put(model, self.best_file)

    def state(self) -> dict[str, Any]:
        """What a later attempt must know to go on, beside the best weights."""
        return {"points": [asdict(point) for point in self.points]}

    def resume(self, kept: dict[str, Any], folder: Path) -> None:
        """Goes on from what an earlier attempt measured.

        Args:
            kept: its `state`.
            folder: where its best weights are, if it kept any; they are copied.
        """
        self.points = [Point(**point) for point in kept["points"]]
        if (folder / BEST).is_file() and self._job.process.is_first:
            self.best_file = self._job.folder / BEST
            shutil.copyfile(folder / BEST, self.best_file)

    def _keep_weights(self, model: Any, point: Point) -> None:
        """Into a file of its own: a checkpoint that is on its way may hold the one before by another name."""
        self._job.heart.allow("keeping the best weights")
        weights = _weights(model, is_first=self._job.process.is_first)
        if not self._job.process.is_first:
            return
        before, self.best_file = self.best_file, self._job.folder / f"{point.step}.{BEST}"
        save_file(weights, self.best_file)
        if before and before != self.best_file:
            before.unlink(missing_ok=True)

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


def _weights(model: Any, *, is_first: bool) -> dict[str, torch.Tensor]:
    """What is trained of a model, in the first process; of a spread one, all must ask."""
    sharding.reshard(model)
    made = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            full = sharding.whole(weight.detach())
            if is_first:
                made[name] = full.cpu().contiguous()
    return made


def _put(model: Any, file: Path) -> None:
    kept = load_file(file)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name in kept:
                weight.copy_(kept[name])

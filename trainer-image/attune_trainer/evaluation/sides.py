"""Base and tuned, as something that can be asked for scores: with an adapter one loaded model, else one by one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from attune_contract.enums import TuningType
from attune_contract.spec import Workload
from attune_trainer.evaluation.kinds.base import Kind
from attune_trainer.evaluation.measures import Score
from attune_trainer.methods import loading, tuning
from attune_trainer.methods.architecture import Architecture
from attune_trainer.methods.device import Device
from attune_trainer.models import BaseModel

Scoring = Callable[[], Iterator[Score]]
"""One model over all held-out rows, batch after batch."""


@dataclass(frozen=True)
class Sides:
    """Where the two models are, and what they are scored with.

    Args:
        work: the manifest's blocks.
        architecture: as what they are loaded.
        base: the base model, fetched.
        checkpoint: folder of the tuned weights.
        place: where they run.
        kind: what is asked of them.
        on_rows: told how many rows more are done.
    """

    work: Workload
    architecture: Architecture
    base: BaseModel
    checkpoint: Path
    place: Device
    kind: Kind
    on_rows: Callable[[int], None]

    @contextmanager
    def open(self) -> Iterator[tuple[Scoring, Scoring]]:
        """Base and tuned. At most one model is in memory."""
        if self.work.tuning.type is TuningType.FULL:
            yield lambda: self._scores(self._load(self.base.folder)), lambda: self._scores(self._load(self.checkpoint))
            return
        model = loading.with_adapter(self._load(self.base.folder), self.checkpoint)
        yield lambda: self._without_adapter(model), lambda: self._scores(model)

    def _load(self, folder: Path) -> Any:
        """A whole model, on its device; for QLoRA in 4 bits, as training had it."""
        four_bit = tuning.quantization(self.work.tuning, self.place)
        model = self.architecture.load(folder, self.place.dtype, **four_bit)
        return model if four_bit else model.to(self.place.name)

    def _without_adapter(self, model: Any) -> Iterator[Score]:
        with model.disable_adapter():
            yield from self._scores(model)

    def _scores(self, model: Any) -> Iterator[Score]:
        self.kind.ready(model)
        model.eval()
        for batch in self.kind.batches():
            with torch.inference_mode():
                scores = self.kind.score(model, batch)
            yield from scores
            self.on_rows(len(batch))

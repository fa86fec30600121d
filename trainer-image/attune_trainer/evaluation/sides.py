"""Base, tuned and other models: with an adapter the first two are one loaded model, else they come one by one."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from attune_contract.enums import TuningType
from attune_contract.spec import Workload
from attune_trainer.evaluation.kinds.base import Kind
from attune_trainer.evaluation.scores import Score
from attune_trainer.methods import loading, tuning
from attune_trainer.methods.architecture import Architecture
from attune_trainer.methods.device import Device
from attune_trainer.models import BaseModel

TUNED, BASE = "tuned", "base"


class Side(NamedTuple):
    """One model and how it is asked."""

    name: str
    """`tuned`, or the baseline's."""
    kind: Kind
    """The rows, tokenised for it."""
    source: BaseModel | None = None
    """Another model than the run's own."""

    @property
    def is_tuned(self) -> bool:
        """Whether it is what is evaluated."""
        return self.name == TUNED


@dataclass
class Models:
    """Loads models when they are needed, at most one at a time unless two are needed together.

    Args:
        work: the manifest's blocks.
        architecture: as what they are loaded.
        base: the base model, fetched.
        checkpoint: folder of the tuned weights.
        place: where they run.
    """

    work: Workload
    architecture: Architecture
    base: BaseModel
    checkpoint: Path
    place: Device
    together: bool = False
    """Whether base and tuned are kept side by side where they are two models."""
    _loaded: dict[str, Any] = field(default_factory=dict)

    def of(self, side: Side) -> AbstractContextManager[Any]:
        """The model of a side, for as long as it is used."""
        if side.source is not None:
            of_base = side.source.listing.is_adapter
            return nullcontext(
                self._other(side.source.folder) if of_base else self._only(side.source.folder, four_bit=False)
            )
        return self.own(tuned=side.is_tuned)

    def own(self, *, tuned: bool) -> AbstractContextManager[Any]:
        """The run's own base or tuned model."""
        if self.work.tuning.type is TuningType.FULL:
            return nullcontext(self._only(self.checkpoint if tuned else self.base.folder, keep=self.together))
        model = self._adapted()
        return nullcontext(model) if tuned else _without_adapter(model)

    def _adapted(self) -> Any:
        if "adapter" not in self._loaded:
            self._loaded.clear()
            base = self._load(self.base.folder, four_bit=True)
            self._loaded["adapter"] = loading.with_adapter(base, self.checkpoint).eval()
        return self._loaded["adapter"]

    def _other(self, folder: Path) -> Any:
        """Another adapter of the run's own base."""
        key = f"adapter {folder}"
        if key not in self._loaded:
            self._loaded.clear()
            self._loaded[key] = loading.with_adapter(self._load(self.base.folder, four_bit=True), folder).eval()
        return self._loaded[key]

    def _only(self, folder: Path, *, four_bit: bool = True, keep: bool = False) -> Any:
        key = str(folder)
        if key not in self._loaded:
            if not keep:
                self._loaded.clear()
            self._loaded[key] = self._load(folder, four_bit=four_bit).eval()
        return self._loaded[key]

    def _load(self, folder: Path, *, four_bit: bool) -> Any:
        """A whole model, on its device; the base of QLoRA in 4 bits, as training had it."""
        more = tuning.quantization(self.work.tuning, self.place) if four_bit else {}
        model = self.architecture.load(folder, self.place.dtype, **more)
        return model if more else model.to(self.place.name)


@contextmanager
def _without_adapter(model: Any) -> Iterator[Any]:
    with model.disable_adapter():
        yield model


def scored(side: Side, models: Models, on_rows: Callable[[int], None]) -> Iterator[Score]:
    """One model over all rows, batch after batch.

    Args:
        side: the model and its rows.
        models: loads it.
        on_rows: told how many rows more are done.
    """
    with models.of(side) as model:
        side.kind.ready(model)
        for batch in side.kind.batches():
            with torch.inference_mode():
                scores = side.kind.score(model, batch)
            yield from scores
            on_rows(len(batch))

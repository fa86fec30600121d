"""What a model's weights mean for a training: how many there are, how many multiply, and which get adapters."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attune_contract.enums import ClassificationStyle, Method, TuningType
from attune_contract.spec import Tuning, Workload
from attune_trainer.estimate.tensors import Shape, Tensor, of_config, shape_of

_LOOKED_UP = ("embed", "wte", "wpe", "embd")
"""Parts of the names of tables: a look-up does not multiply."""
_HEADS = ("lm_head", "embed_out", "cls.", "score", "classifier")
"""Parts of the names of layers after the last block; adapters are not put there."""
_ROWS_FIRST = frozenset({"gpt2"})
"""Architectures that store linear layers with their inputs first (Conv1D)."""
_MATRIX = 2


@dataclass(frozen=True)
class Weights:
    """The weights of a base model."""

    tensors: tuple[Tensor, ...]
    exact: bool
    """Whether they were read from the files; else they follow from config.json."""
    shape: Shape
    kind: str
    """`model_type` of config.json."""

    @property
    def count(self) -> int:
        """All parameters."""
        return sum(t.size for t in self.tensors)

    @property
    def stored_bytes(self) -> int:
        """Bytes of all weights, as stored: what is downloaded."""
        return sum(t.size * t.bytes_each for t in self.tensors)

    @property
    def multiplied(self) -> int:
        """Parameters that every token is multiplied with: all but tables, and the head also where it is one.

        Source: Kaplan et al. 2020, section 2.1 (they leave out the head too; at a large vocabulary it is too much).
        """
        tables = sum(t.size for t in self.tensors if _any(t.name, _LOOKED_UP) and not _any(t.name, _HEADS))
        has_head = any(_any(t.name, ("lm_head", "embed_out")) for t in self.tensors)
        return self.count - tables + (0 if has_head else self.shape.vocabulary * self.shape.hidden)

    @property
    def linear(self) -> tuple[Tensor, ...]:
        """The linear layers of the blocks; peft's `all-linear`."""
        return tuple(
            t
            for t in self.tensors
            if len(t.shape) == _MATRIX and t.name.endswith(".weight") and not _any(t.name, _LOOKED_UP + _HEADS)
        )

    def inputs_of(self, layer: Tensor) -> int:
        """The width of what goes into a linear layer."""
        return layer.shape[0] if self.kind in _ROWS_FIRST else layer.shape[1]


def weights(config: Mapping[str, Any], found: Sequence[Tensor]) -> Weights | None:
    """The weights of a base; None where neither its files nor its config tell enough.

    Args:
        config: the model's config.json.
        found: the tensors of its files; empty where these could not be read.
    """
    shape = shape_of(config)
    tensors = tuple(found) or of_config(config)
    if shape is None or not tensors:
        return None
    return Weights(tensors, bool(found), shape, str(config.get("model_type", "")))


@dataclass(frozen=True)
class Trainable:
    """What changes in a training."""

    parameters: int
    adapted: tuple[Tensor, ...]
    """The linear layers that have adapters."""


def trainable(model: Weights, work: Workload) -> Trainable:
    """Which parameters are trained: all for Full; for LoRA r times the inputs and outputs of every adapted layer.

    Source: Hu et al. 2021, section 4.1. A classification head is new and trained whole, whatever the tuning.
    """
    head = _new_head(model, work)
    if work.tuning.type is TuningType.FULL:
        return Trainable(model.count + head, ())
    adapted = tuple(_adapted(model, work.tuning))
    return Trainable(work.tuning.rank * sum(sum(t.shape) for t in adapted) + head, adapted)


def _adapted(model: Weights, tuning: Tuning) -> Iterable[Tensor]:
    if tuning.target_modules == ("all-linear",):
        return model.linear
    names = tuple(f".{name}.weight" for name in tuning.target_modules)
    return (t for t in model.tensors if f".{t.name}".endswith(names) and len(t.shape) == _MATRIX)


def _new_head(model: Weights, work: Workload) -> int:
    if work.method is not Method.CLASSIFICATION:
        return 0
    asked = work.resolved_classification()
    head = asked.style is ClassificationStyle.HEAD
    return model.shape.hidden * max(2, len(asked.labels)) if head else 0


def _any(name: str, parts: Iterable[str]) -> bool:
    return any(part in name for part in parts)

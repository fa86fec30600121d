"""What a model's weights mean for a training: how many there are, how many multiply, and which get adapters."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attune_contract.enums import TuningType
from attune_contract.spec import Tuning, Workload
from attune_trainer.estimate.tensors import Shape, Tensor, of_config, shape_of

_LOOKED_UP = ("embed", "wte", "wpe", "embd")
"""Parts of the names of tables: a look-up does not multiply."""
_HEADS = ("lm_head", "embed_out", "cls.", "score", "classifier")
"""Parts of the names of layers after the last block; adapters are not put there."""
_ROWS_FIRST = frozenset({"gpt2"})
"""Architectures that store linear layers with their inputs first (Conv1D)."""
_MATRIX = 2


_EXPERTS = ".experts."
"""Part of the names of what only some tokens go through; experts that all go through are called otherwise."""
_EXPERTS_IN_ALL = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_EXPERTS_PER_TOKEN = ("num_experts_per_tok", "num_experts_per_token", "experts_per_token", "top_k_experts", "moe_k")
"""Keys of config.json."""


@dataclass(frozen=True)
class Weights:
    """The weights of a base model."""

    tensors: tuple[Tensor, ...]
    exact: bool
    """Whether they were read from the files; else they follow from config.json."""
    shape: Shape
    kind: str
    """`model_type` of config.json."""
    expert_share: float = 1.0
    """Part of the experts that a token goes through."""

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
        """Parameters that a token is multiplied with: all but tables, and the head also where it is one.

        Of a mixture of experts, those of as many experts as a token is sent to.
        Source: Kaplan et al. 2020, section 2.1 (they leave out the head too; at a large vocabulary it is too much).
        """
        tables = sum(t.size for t in self.tensors if _any(t.name, _LOOKED_UP) and not _any(t.name, _HEADS))
        has_head = any(_any(t.name, ("lm_head", "embed_out")) for t in self.tensors)
        idle = (1 - self.expert_share) * sum(t.size for t in self.tensors if _EXPERTS in t.name)
        return self.count - tables - round(idle) + (0 if has_head else self.shape.vocabulary * self.shape.hidden)

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
    return Weights(tensors, bool(found), shape, str(config.get("model_type", "")), expert_share(config))


def expert_share(config: Mapping[str, Any]) -> float:
    """Part of the experts that a token goes through; 1 where the model has none, or does not say.

    Args:
        config: of a text model, or of one that holds a text model's in `text_config`.
    """
    nested = config.get("text_config")
    given = {**config, **nested} if isinstance(nested, Mapping) else config

    def number(names: tuple[str, ...]) -> int:
        return next((v for n in names if isinstance(v := given.get(n), int) and v > 0), 0)

    experts, used = number(_EXPERTS_IN_ALL), number(_EXPERTS_PER_TOKEN)
    return used / experts if 0 < used < experts else 1.0


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
    labels = work.resolved_classification().labels
    return model.shape.hidden * max(2, len(labels)) if work.has_head else 0


def _any(name: str, parts: Iterable[str]) -> bool:
    return any(part in name for part in parts)

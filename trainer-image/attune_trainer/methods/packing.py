"""Several examples in one sequence that do not see each other.

Positions begin anew with each example, and a mask of batch x 1 x length x length lets a token see its own example only.
Both work for attention of every kind but one that keeps a state over the sequence; whether a model heeds them is not
believed but tried, on that very model, before it trains.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch

from attune_trainer.data.encoding.base import IGNORED
from attune_trainer.data.encoding.packing import pack
from attune_trainer.data.encoding.supervised import Encoded
from attune_trainer.errors import InvalidConfigurationError
from attune_trainer.methods.collate import TOKENS, filled

_FIRST, _SECOND = (3, 1, 4, 1, 5), (9, 2, 6, 5)
"""Token ids of the two examples that a model is tried on; any will do, and every vocabulary has them."""
_TOLERANCE = 1e-2
"""Of the largest logit: far above what rounding does, in bfloat16 too, and far below what another example does."""


@dataclass(frozen=True)
class PackedRow(Encoded):
    """Examples behind each other."""

    lengths: tuple[int, ...]
    """Tokens of each."""

    @classmethod
    def of(cls, examples: Sequence[Encoded]) -> "PackedRow":
        """Puts examples behind each other. The last token of one does not foresee the first of the next."""
        ids = [i for example in examples for i in example.input_ids]
        labels = [label for example in examples for label in [IGNORED, *example.labels[1:]]]
        return cls(ids, labels, tuple(len(example.input_ids) for example in examples))


class PackedRows(Sequence[PackedRow]):
    """Packed rows, put together when they are asked for.

    Args:
        rows: examples, none longer than a sequence.
        limit: tokens of a sequence.
    """

    def __init__(self, rows: Sequence[Encoded], limit: int) -> None:
        self._rows = rows
        self._packs = pack([len(row.input_ids) for row in rows], limit)

    def __len__(self) -> int:
        return len(self._packs)

    @overload
    def __getitem__(self, index: int) -> PackedRow: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PackedRow]: ...
    def __getitem__(self, index: int | slice) -> PackedRow | Sequence[PackedRow]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return PackedRow.of([self._rows[i] for i in self._packs[index]])


class PackingCollator:
    """Makes micro-batches of packed rows.

    Args:
        padding: a token id; masked, so any.
        additive: whether the mask is added to attention's scores, as plain attention wants it, or says who sees whom.
    """

    def __init__(self, padding: int, *, additive: bool = False) -> None:
        self._padding = padding
        self._additive = additive

    def __call__(self, rows: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        """Tensors of batch x longest, and the mask: whether a token (third axis) sees another (last axis)."""
        lengths = [getattr(row, "lengths", (len(row.input_ids),)) for row in rows]
        sees = mask(filled([[n for n, length in enumerate(of) for _ in range(length)] for of in lengths], -1))
        return {
            "input_ids": filled([row.input_ids for row in rows], self._padding),
            "labels": filled([row.labels for row in rows], IGNORED),
            "position_ids": filled([[i for length in of for i in range(length)] for of in lengths], 0),
            "attention_mask": _added(sees) if self._additive else sees,
            TOKENS: torch.tensor([sum(of) for of in lengths]),
        }


def mask(example: torch.Tensor) -> torch.Tensor:
    """Who sees whom: earlier tokens of the same example. Padding sees padding, as no token may see nothing.

    Args:
        example: number of the example of each token, batch x length.

    Returns:
        Booleans, batch x 1 x length x length.
    """
    length = example.size(1)
    earlier = torch.ones(length, length, dtype=torch.bool).tril()
    return ((example.unsqueeze(1) == example.unsqueeze(2)) & earlier).unsqueeze(1)


def collator_for(model: Any, padding: int) -> PackingCollator:
    """The collator for a model, tried on it.

    Args:
        model: on any device; it is left as it was.
        padding: a token id to fill up with.

    Raises:
        InvalidConfigurationError: it lets packed examples see each other, or does not take positions or such a mask.
    """
    collator = PackingCollator(padding, additive=getattr(model.config, "_attn_implementation", None) == "eager")
    refusal = _refusal(model, collator)
    if refusal:
        kind = type(model.get_base_model() if hasattr(model, "get_base_model") else model).__name__
        raise InvalidConfigurationError(
            f"spec.training.packing: {kind} cannot keep packed examples apart: {refusal}. Set "
            "training.packing to false."
        )
    return collator


def _added(sees: torch.Tensor) -> torch.Tensor:
    return torch.zeros(sees.shape).masked_fill(~sees, torch.finfo(torch.float32).min)


def _refusal(model: Any, collator: PackingCollator) -> str:
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            together = _logits(model, collator, (_FIRST, _SECOND))
            apart = torch.cat([_logits(model, collator, (ids,)) for ids in (_FIRST, _SECOND)])
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        return f"it does not take the mask or the positions ({error})"
    finally:
        model.train(was_training)
    difference = float((together - apart).abs().max() / apart.abs().max())
    return "" if difference <= _TOLERANCE else "one example changes what the model says of the next"


def _logits(model: Any, collator: PackingCollator, examples: Sequence[Sequence[int]]) -> torch.Tensor:
    batch = collator([PackedRow.of([Encoded(list(ids), list(ids)) for ids in examples])])
    device = next(model.parameters()).device
    inputs = {name: value.to(device) for name, value in batch.items() if name not in {TOKENS, "labels"}}
    logits: torch.Tensor = model(**inputs, use_cache=False).logits[0].float()
    return logits

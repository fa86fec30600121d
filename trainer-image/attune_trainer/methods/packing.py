"""Several examples in one sequence that do not see each other.

Positions begin anew with each example, and a mask of batch x 1 x length x length lets a token see its own example only.
The mask takes the place of the model's own, so it does not work where a layer looks back over a window that is shorter
than an example; nor where a state is kept over the sequence. Whether a model heeds mask and positions is not believed
but tried, on that very model, before it trains.
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
_TRIED = 1024
"""Tokens, at most, of the one example that is also given to the model as it is without packing."""
_TOLERANCE = 1e-2
"""Of the largest logit: far above what rounding does, in bfloat16 too, and far below what another example does."""
_TOLERANCE_OF_KINDS = 5e-2
"""The same where attention is computed by other kernels, with and without a mask of its own."""


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

    def sources(self, index: int) -> Sequence[int]:
        """Which examples a sequence is made of."""
        return self._packs[index]

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


def collator_for(model: Any, padding: int, longest: int) -> PackingCollator:
    """The collator for a model, tried on it.

    Args:
        model: on any device; it is left as it was.
        padding: a token id to fill up with.
        longest: tokens of the longest example.

    Raises:
        InvalidConfigurationError: it lets packed examples see each other, does not take positions or such a mask, or
            looks back over less than the longest example.
    """
    seen = window(model.config)
    if seen is not None and seen < longest:
        raise InvalidConfigurationError(
            f"spec.training.packing: a token of this model sees the last {seen} tokens only, which packing cannot keep "
            f"to, and the longest example has {longest}. Set training.packing to false, or training.sequenceLength to "
            f"{seen} or less."
        )
    collator = PackingCollator(padding, additive=getattr(model.config, "_attn_implementation", None) == "eager")
    refusal = _refusal(model, collator, longest)
    if refusal:
        kind = type(model.get_base_model() if hasattr(model, "get_base_model") else model).__name__
        raise InvalidConfigurationError(
            f"spec.training.packing: {kind} cannot keep packed examples apart: {refusal}. Set "
            "training.packing to false."
        )
    return collator


def window(config: Any) -> int | None:
    """Tokens that the layer with the narrowest sight looks back over; None where all look back to the beginning.

    Args:
        config: a model's, as transformers reads it: `layer_types` says which layers slide, where not all do.
    """
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    kinds = getattr(text, "layer_types", None)
    widths = {
        "sliding_attention": getattr(text, "sliding_window", None),
        "chunked_attention": getattr(text, "attention_chunk_size", None),
    }
    slides = getattr(text, "use_sliding_window", True)
    found = [w for kind, w in widths.items() if w and slides and (kinds is None or kind in kinds)]
    return min(found, default=None)


def _added(sees: torch.Tensor) -> torch.Tensor:
    return torch.zeros(sees.shape).masked_fill(~sees, torch.finfo(torch.float32).min)


def _refusal(model: Any, collator: PackingCollator, longest: int) -> str:
    tried = [(*_FIRST, *_SECOND)[i % 9] for i in range(min(longest, _TRIED))]
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            together = _logits(model, collator, (_FIRST, _SECOND))
            apart = torch.cat([_logits(model, collator, (ids,)) for ids in (_FIRST, _SECOND)])
            masked = _logits(model, collator, (tried,))
            plain = _plain_logits(model, tried)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        return f"it does not take the mask or the positions ({error})"
    finally:
        model.train(was_training)
    if _difference(together, apart) > _TOLERANCE:
        return "one example changes what the model says of the next"
    if _difference(masked, plain) > _TOLERANCE_OF_KINDS:
        return "it reads an example otherwise than without packing"
    return ""


def _difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def _plain_logits(model: Any, ids: Sequence[int]) -> torch.Tensor:
    given = torch.tensor([list(ids)], device=next(model.parameters()).device)
    logits: torch.Tensor = model(input_ids=given, attention_mask=torch.ones_like(given), use_cache=False).logits[0]
    return logits.float()


def _logits(model: Any, collator: PackingCollator, examples: Sequence[Sequence[int]]) -> torch.Tensor:
    batch = collator([PackedRow.of([Encoded(list(ids), list(ids)) for ids in examples])])
    device = next(model.parameters()).device
    inputs = {name: value.to(device) for name, value in batch.items() if name not in {TOKENS, "labels"}}
    logits: torch.Tensor = model(**inputs, use_cache=False).logits[0].float()
    return logits

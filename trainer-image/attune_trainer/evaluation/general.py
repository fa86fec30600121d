"""What was forgotten: base and tuned read general text side by side, and every token's distributions are compared."""

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from attune_trainer.data import canonical
from attune_trainer.data.encoding.text import SHORTEST_WINDOW, TextEncoder
from attune_trainer.errors import InvalidDataError
from attune_trainer.evaluation.forward import Forward
from attune_trainer.evaluation.scores import Score
from attune_trainer.evaluation.sides import Models
from attune_trainer.evaluation.textmetrics.base import numbers

NAME = "general"
"""Of the scores on general text."""
TUNED, BASE, KL = "tuned", "base", "kl"
"""Figures of a row: nats and tokens of either model; KL(tuned || base) summed over the tokens, and tokens."""


class General:
    """General text, tokenised once for both models.

    Args:
        path: parquet of documents.
        encoder: of the base.
        forward: passes through a model.

    Raises:
        InvalidDataError: no document has two tokens.
    """

    def __init__(self, path: Path, encoder: TextEncoder, forward: Forward) -> None:
        self._length, self._forward = encoder.sequence_length, forward
        documents = [(row.row_id, array("i", encoder.encode(row))) for row in canonical.read(path, canonical.DOCUMENT)]
        self.row_ids = tuple(row_id for row_id, _ in documents)
        self._ids = [ids for _, ids in documents]
        self._windows = [
            (row, start)
            for row, ids in enumerate(self._ids)
            for start in range(0, len(ids) - SHORTEST_WINDOW + 1, self._length)
        ]
        if not self._windows:
            raise InvalidDataError(
                "spec.evaluation.forgetting.dataset: no text has two tokens; name files with longer texts."
            )

    def __len__(self) -> int:
        return len(self._ids)

    def scored(self, models: Models, on_rows: Callable[[int], None]) -> Iterator[Score]:
        """Both models on every window; figures by document.

        Args:
            models: loads them.
            on_rows: told how many rows more are done.
        """
        sums = {row: dict.fromkeys((TUNED, BASE, KL, "tokens"), 0.0) for row in range(len(self))}
        left = [0] * len(self)
        for row, _ in self._windows:
            left[row] += 1
        windows = [self._ids[row][start : start + self._length].tolist() for row, start in self._windows]
        for group in self._forward.groups([2 * len(window) for window in windows]):
            for place, figures in zip(group, self._compared(models, [windows[i] for i in group]), strict=True):
                row = self._windows[place][0]
                left[row] -= 1
                for name, figure in figures.items():
                    sums[row][name] += figure
                if not left[row]:
                    yield _score(row, sums.pop(row))
                    on_rows(1)
        for row, empty in sums.items():  # texts of one token
            yield _score(row, empty)
            on_rows(1)

    def _compared(self, models: Models, windows: list[list[int]]) -> list[dict[str, float]]:
        with torch.inference_mode():
            with models.own(tuned=False) as model:
                base = self._forward.logits(model, windows)
            with models.own(tuned=True) as model:
                tuned = self._forward.logits(model, windows)
            return [self._figures(tuned[n], base[n], window) for n, window in enumerate(windows)]

    def _figures(self, tuned: Any, base: Any, window: list[int]) -> dict[str, float]:
        told = len(window) - 1
        ours, theirs = (torch.log_softmax(logits[:told].float(), dim=-1) for logits in (tuned, base))
        spoken = self._forward.tensor(window[1:]).unsqueeze(1)
        return {
            TUNED: -float(ours.gather(1, spoken).sum()),
            BASE: -float(theirs.gather(1, spoken).sum()),
            KL: max(0.0, float((ours.exp() * (ours - theirs)).sum())),
            "tokens": float(told),
        }


def _score(row: int, sums: dict[str, float]) -> Score:
    tokens = sums["tokens"]
    return Score(row, {name: numbers(sums[name], tokens) for name in (TUNED, BASE, KL)}, {})

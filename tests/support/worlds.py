"""Simulated weeks of prompts, labels and right or wrong answers, for tests of drift: a world, and one that moved."""

from dataclasses import dataclass
from typing import Any

import numpy as np

TOPICS = 6
LABELS = ("billing", "shipping", "returns", "other")
SHARES = (0.4, 0.3, 0.2, 0.1)


@dataclass(frozen=True)
class World:
    """People who ask about topics, in words of which some are common and some are the topic's own (Zipf).

    Args:
        swapped: share of prompts that are about a topic which nobody asked about before.
        accuracy: share of answers that are right.
        shares: of the labels.
    """

    swapped: float = 0.0
    accuracy: float = 0.9
    shares: tuple[float, ...] = SHARES

    def prompts(self, rows: int, draw: np.random.Generator) -> list[str]:
        """Prompts of nine to seventeen words."""
        return [self._prompt(draw) for _ in range(rows)]

    def labels(self, rows: int, draw: np.random.Generator) -> dict[str, int]:
        """Rows by label."""
        return dict(zip(LABELS, draw.multinomial(rows, self.shares).tolist(), strict=True))

    def right(self, rows: int, draw: np.random.Generator) -> Any:
        """One row for each answer: right or not, and 1."""
        return np.stack([draw.random(rows) < self.accuracy, np.ones(rows)], axis=1).astype(np.float64)

    def _prompt(self, draw: np.random.Generator) -> str:
        topic = TOPICS if draw.random() < self.swapped else int(draw.integers(TOPICS))
        common = np.minimum(draw.zipf(1.3, int(draw.integers(6, 14))), 600)
        own = np.minimum(draw.zipf(1.3, 3), 200)
        return " ".join([_word("", int(i)) for i in common] + [_word("abcdefg"[topic], int(i)) for i in own])


def _word(topic: str, number: int) -> str:
    return f"{'topic' + topic if topic else 'word'}{chr(97 + number % 26)}{chr(97 + number // 26)}"

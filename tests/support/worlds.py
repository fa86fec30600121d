"""Simulated weeks of prompts, labels and right or wrong answers, for tests of drift: a world, and one that moved."""

from dataclasses import dataclass
from typing import Any

import numpy as np

TOPICS = 6
LABELS = ("billing", "shipping", "returns", "other")
SHARES = (0.4, 0.3, 0.2, 0.1)
CANNED = 20
"""Prompts that clients send again and again, word for word."""


@dataclass(frozen=True)
class World:
    """People who ask about topics, in words of which some are common and some are the topic's own (Zipf).

    Args:
        swapped: share of prompts that are about a topic which nobody asked about before.
        accuracy: share of answers that are right.
        shares: of the labels.
        repeated: share of prompts that are canned; few of these are most of them (Zipf). Each has one label.
    """

    swapped: float = 0.0
    accuracy: float = 0.9
    shares: tuple[float, ...] = SHARES
    repeated: float = 0.0

    def prompts(self, rows: int, draw: np.random.Generator) -> list[str]:
        """Prompts of nine to seventeen words."""
        return [self._prompt(draw) for _ in range(rows)]

    def labels(self, rows: int, draw: np.random.Generator) -> dict[str, int]:
        """Rows by label."""
        return dict(zip(LABELS, draw.multinomial(rows, self.shares).tolist(), strict=True))

    def asked(self, rows: int, draw: np.random.Generator) -> list[tuple[str, str]]:
        """Prompts, each with its label."""
        return [self._canned(draw) if draw.random() < self.repeated else self._asked(draw) for _ in range(rows)]

    def right(self, rows: int, draw: np.random.Generator) -> Any:
        """One row for each answer: right or not, and 1."""
        return np.stack([draw.random(rows) < self.accuracy, np.ones(rows)], axis=1).astype(np.float64)

    def _asked(self, draw: np.random.Generator) -> tuple[str, str]:
        return self._prompt(draw), LABELS[int(draw.choice(len(LABELS), p=self.shares))]

    def _canned(self, draw: np.random.Generator) -> tuple[str, str]:
        number = int(min(draw.zipf(1.3), CANNED)) - 1
        return World()._prompt(np.random.default_rng(number)), LABELS[number % len(LABELS)]

    def _prompt(self, draw: np.random.Generator) -> str:
        topic = TOPICS if draw.random() < self.swapped else int(draw.integers(TOPICS))
        common = np.minimum(draw.zipf(1.3, int(draw.integers(6, 14))), 600)
        own = np.minimum(draw.zipf(1.3, 3), 200)
        return " ".join([_word("", int(i)) for i in common] + [_word("abcdefg"[topic], int(i)) for i in own])


def _word(topic: str, number: int) -> str:
    return f"{'topic' + topic if topic else 'word'}{chr(97 + number % 26)}{chr(97 + number // 26)}"

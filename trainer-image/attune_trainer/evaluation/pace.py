"""How far an evaluation is: rows of all models first, then the statistics, on one scale that never stands still."""

import time
from collections.abc import Callable
from typing import Any, Protocol

STATISTICS = 0.05
"""What the statistics and the reports count, as a share of the rows: of any model but a toy they take less."""


class Board(Protocol):
    """Where it is told."""

    def update(self, **fields: Any) -> None:
        """Sets fields of Progress by name."""
        ...


class Pace:
    """Counts what is done, and tells how long the rest takes.

    Args:
        board: told after each step.
        rows: of all models, general text among them.
        now: a monotonic clock in seconds.
    """

    def __init__(self, board: Board, rows: int, now: Callable[[], float] = time.monotonic) -> None:
        self._board, self._now = board, now
        self._rows, self._total = rows, rows + max(1, round(rows * STATISTICS))
        self._done = self._worked = 0
        self._started = now()
        board.update(step=0, total_steps=self._total)

    def scored(self, rows: int) -> None:
        """So many rows more are scored."""
        self._done += rows
        self._worked += rows
        per_step = (self._now() - self._started) / self._worked if self._worked else 0.0
        self._tell(self._done, per_step * (self._total - self._done) if self._worked else None)

    def spared(self, rows: int) -> None:
        """So many rows more need no scoring; they say nothing of how fast the others go."""
        self._done += rows
        self._started = self._started if self._worked else self._now()
        self._board.update(step=self._done)

    def judged(self, questions: int, of: int) -> None:
        """So many questions of the statistics are answered, from 0 on, which starts their clock.

        Args:
            questions: answered by now.
            of: how many there are.
        """
        if questions == 0:
            self._done, self._started = self._rows, self._now()
            self._board.update(step=self._rows)
            return
        left = (self._now() - self._started) / questions * (of - questions)
        self._tell(self._rows + (self._total - self._rows) * questions // of, left)

    def _tell(self, step: int, left: float | None) -> None:
        self._board.update(step=step, eta_seconds=None if left is None else round(left, 1))

"""Trials a few at a time: most of their time is waiting."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from peril.world import Verdict

Trial = Callable[[], Coroutine[Any, Any, Verdict]]


class SideBySide:
    """Runs trials side by side.

    Args:
        limit: so many at most; each has an operator of its own.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit

    async def __call__(self, trials: Sequence[Trial]) -> list[Verdict]:
        """Runs all of them; the verdicts in the order of the trials."""
        gate = asyncio.Semaphore(self._limit)

        async def one(trial: Trial) -> Verdict:
            async with gate:
                return await trial()

        return list(await asyncio.gather(*(one(trial) for trial in trials)))

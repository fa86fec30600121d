"""Asks running pods for their progress, no faster than the settings allow. A miss is nothing."""

import asyncio
from collections.abc import Callable

import aiohttp
from pydantic import ValidationError

from attune_contract.progress import Progress
from attune_contract.runconfig import PROGRESS_PORT
from attune_operator.workqueue import Key

TIMEOUT_SECONDS = 2
MAX_BYTES = 65536
LONGEST_WAIT_SECONDS = 300.0
ANSWER_SECONDS = 0.05
"""A pod answers in a few milliseconds. One that does not (lost node, dropped packets) must not hold up a worker: its
answer, if one comes, is there at the next look."""


class ProgressPoller:
    """Remembers when each run may be asked next; that memory is only politeness and may be lost.

    What a pod answers is not trusted: no redirects, a bounded body, bounded figures (`Progress`), a short wait. A pod
    that does not answer is asked less and less often.

    Args:
        session: the HTTP session.
        every: least seconds between two polls of one run.
        clock: seconds that only grow.
    """

    def __init__(self, session: aiohttp.ClientSession, every: float, clock: Callable[[], float]) -> None:
        self._session = session
        self._every = every
        self._clock = clock
        self._next: dict[Key, tuple[float, float]] = {}
        self._asked: dict[Key, asyncio.Task[Progress | None]] = {}

    async def poll(self, key: Key, run_id: str, address: str) -> Progress | None:
        """The progress of a run; None where it is too early to ask, or its pod has not answered yet.

        Args:
            key: the run.
            run_id: its UID, which an answer must bear.
            address: of its pod.
        """
        now = self._clock()
        due, wait = self._next.get(key, (now, self._every))
        if address and now >= due and key not in self._asked:
            self._next[key] = (now + wait, min(LONGEST_WAIT_SECONDS, 2 * wait))
            self._asked[key] = asyncio.create_task(self._ask(f"[{address}]" if ":" in address else address))
        if (asked := self._asked.get(key)) is None:
            return None
        await asyncio.wait((asked,), timeout=ANSWER_SECONDS)
        if not asked.done():
            return None
        self._asked.pop(key, None)
        sample = asked.result()
        # Pod addresses are reused: an answer counts only if it comes from this run.
        if sample is None or sample.run_id != run_id:
            return None
        self._next[key] = (now + self._every, self._every)
        return sample

    async def _ask(self, host: str) -> Progress | None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        url = f"http://{host}:{PROGRESS_PORT}/progress"
        try:
            async with self._session.get(url, timeout=timeout, allow_redirects=False) as answer:
                return Progress.model_validate_json(await answer.content.read(MAX_BYTES))
        except (aiohttp.ClientError, TimeoutError, OSError, ValidationError):
            return None

    def forget(self, key: Key) -> None:
        """Drops what is remembered of a run that ended, or is gone."""
        self._next.pop(key, None)
        if (asked := self._asked.pop(key, None)) is not None:
            asked.cancel()

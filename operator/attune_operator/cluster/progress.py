"""Asks running pods for their progress, no faster than the settings allow. A miss is nothing."""

from collections.abc import Callable

import aiohttp
from pydantic import ValidationError

from attune_contract.progress import Progress
from attune_contract.runconfig import PROGRESS_PORT

TIMEOUT_SECONDS = 2


class ProgressPoller:
    """Remembers when each run was last asked; that memory is only politeness and may be lost.

    Args:
        session: the HTTP session.
        every: least seconds between two polls of one run.
        clock: seconds that only grow.
    """

    def __init__(self, session: aiohttp.ClientSession, every: float, clock: Callable[[], float]) -> None:
        self._session = session
        self._every = every
        self._clock = clock
        self._asked: dict[str, float] = {}

    async def poll(self, run_id: str, address: str) -> Progress | None:
        """The progress of the pod at this address; None where it is too early to ask again, or it did not answer."""
        now = self._clock()
        if not address or now - self._asked.get(run_id, -self._every) < self._every:
            return None
        self._asked[run_id] = now
        host = f"[{address}]" if ":" in address else address
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        try:
            async with self._session.get(f"http://{host}:{PROGRESS_PORT}/progress", timeout=timeout) as answer:
                sample = Progress.model_validate_json(await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError, ValidationError):
            return None
        # Pod addresses are reused: an answer counts only if it comes from this run.
        return sample if sample.run_id == run_id else None

    def forget(self, run_id: str) -> None:
        """Drops what is remembered of a run that ended."""
        self._asked.pop(run_id, None)

"""A queue of keys on which each key stands at most once and is worked on by at most one worker at a time.

Watch events, the resync and retries only put keys here; what there is to do is read afresh by the worker. The rules are
those of client-go's workqueue: a key added while it is worked on is handed out again afterwards, a delayed key is
handed out at its earliest time, and failures back off exponentially with jitter. What nobody waits for is worked on
when nothing else is due, one key at a time: a pod that has ended does not wait behind ten thousand runs that a resync
queued, and a busy API server, which answers slowly, is asked less.
"""

import asyncio
import heapq
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from attune_operator.errors import UnavailableError

FIRST_RETRY = 0.2
LONGEST_RETRY = 60.0


class Key(NamedTuple):
    """One object to reconcile."""

    namespace: str
    name: str


class ClosedError(Exception):
    """The queue hands out nothing more."""


class WorkQueue:
    """See the module; every method is called from one event loop.

    Args:
        clock: seconds that only grow, such as `loop.time`.
        jitter: a number in [0, 1) for each back-off.
    """

    def __init__(self, clock: Callable[[], float], jitter: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._jitter = jitter
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._order = itertools.count()
        self._idle: dict[Key, None] = {}
        self._idled: Key | None = None
        self._active: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._changed = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        """Keys that wait, due or not."""
        return len(self._due)

    def add(self, key: Key, after: float = 0.0) -> None:
        """Puts a key on the queue, to be handed out in `after` seconds; an earlier time already set stands."""
        due = self._clock() + after
        if (current := self._due.get(key)) is not None and current <= due:
            return
        self._due[key] = due
        if key not in self._active:
            heapq.heappush(self._heap, (due, next(self._order), key))
            self._changed.set()

    def add_idle(self, key: Key, patience: float) -> None:
        """Puts a key on the queue, to be handed out when nothing else is due, or in `patience` seconds at the latest.

        Of such keys one is worked on at a time. One that failed keeps to its back-off.
        """
        if key not in self._failures:
            self._idle[key] = None
            self._changed.set()
        self.add(key, patience)

    def retry(self, key: Key, at_least: float = 0.0) -> float:
        """Puts a key back after a failure. Returns the delay in seconds, which doubles with each failure in a row.

        Args:
            key: the key.
            at_least: seconds that are asked for; no longer than the longest back-off is waited.
        """
        self._idle.pop(key, None)
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(failures - 1, 16)) * (0.5 + self._jitter() / 2)
        # Not all of those that were told the same at the same moment.
        delay = max(delay, min(LONGEST_RETRY, at_least * (1.0 + self._jitter() / 2)))
        self.add(key, delay)
        return delay

    def forget(self, key: Key) -> None:
        """Ends the back-off of a key after a success."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """Waits for the next key that is due, and marks it as worked on until `done`. Raises ClosedError."""
        while not self._closed:
            now = self._clock()
            if key := self._pop_due(now) or self._pop_idle():
                self._active.add(key)
                return key
            self._changed.clear()
            wait = self._heap[0][0] - now if self._heap else None
            try:
                await asyncio.wait_for(self._changed.wait(), wait)
            except TimeoutError:
                continue
        raise ClosedError

    def close(self) -> None:
        """Hands out nothing more: every worker ends once it is done with what it has."""
        self._closed = True
        self._changed.set()

    def done(self, key: Key) -> None:
        """Ends the work on a key; if it was added meanwhile, it is handed out again at its time."""
        self._active.discard(key)
        if key == self._idled:
            self._idled = None
            self._changed.set()
        if (due := self._due.get(key)) is not None:
            heapq.heappush(self._heap, (due, next(self._order), key))
            self._changed.set()

    def _pop_due(self, now: float) -> Key | None:
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due and key not in self._active:
                self._take(key)
                return key
        return None

    def _pop_idle(self) -> Key | None:
        """The key that has waited longest for a quiet moment; one that is worked on comes at its time instead."""
        while self._idle and self._idled is None:
            key = next(iter(self._idle))
            del self._idle[key]
            if key in self._due and key not in self._active:
                self._take(key)
                self._idled = key
                return key
        return None

    def _take(self, key: Key) -> None:
        del self._due[key]
        self._idle.pop(key, None)


async def work(
    queue: WorkQueue,
    reconcile: Callable[[Key], Awaitable[float | None]],
    failed: Callable[[Key, Exception, float], None],
) -> None:
    """One worker: hands keys to `reconcile` for ever.

    Args:
        queue: where keys come from.
        reconcile: does the work; returns seconds until the key should come back, or None.
        failed: told of every failure, with the delay until the next try. No failure ends the worker.

    Returns when the queue is closed.
    """
    while True:
        try:
            key = await queue.get()
        except ClosedError:
            return
        try:
            again = await reconcile(key)
        except Exception as error:  # noqa: BLE001 - a worker that dies would stop every run; the failure is reported
            failed(key, error, queue.retry(key, error.retry_after if isinstance(error, UnavailableError) else 0.0))
        else:
            queue.forget(key)
            if again is not None:
                queue.add(key, again)
        finally:
            queue.done(key)

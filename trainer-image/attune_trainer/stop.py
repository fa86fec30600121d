"""SIGTERM: the pod must go. Heard by a thread, because the main one may be inside a long tensor operation.

A stage that can do nothing better ends at once: nothing that is half written counts, objects appear whole. Training
can: once it is prepared to, the signal is only noted, and it stops by itself at the next step with a checkpoint. What
takes longer than the pod has is ended in time to say so.
"""

import os
import signal
import threading
import time
from collections.abc import Callable

MARGIN = 3.0
"""Seconds before the pod is killed that are left for last words."""


class Stopper:
    """Whether this process was asked to stop.

    Args:
        last_words: writes the Outcome of a stage that ends here and now; must be quick.
        code: the exit code then.
        grace: seconds from the signal until the pod is killed.
        clock: seconds, monotonic.
        on_ask: told of the signal, where the process is prepared.
        leave: ends the process; never returns.
    """

    def __init__(
        self,
        last_words: Callable[[], None],
        code: int,
        grace: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_ask: Callable[[], None] = lambda: None,
        leave: Callable[[int], None] = os._exit,
    ) -> None:
        self._last_words = last_words
        self._code = code
        self._grace = grace
        self._clock = clock
        self._on_ask = on_ask
        self._leave = leave
        self._lock = threading.Lock()
        self._prepared = False
        self._asked_at: float | None = None

    @property
    def asked(self) -> bool:
        """Whether the signal came."""
        return self._asked_at is not None

    @property
    def seconds_left(self) -> float | None:
        """Until this process is ended whatever it does; None: nobody asked it to stop."""
        if self._asked_at is None:
            return None
        return max(0.0, self._asked_at + self._grace - MARGIN - self._clock())

    def listen(self, *signals: signal.Signals) -> None:
        """Waits for signals in a thread, until the process ends.

        They are blocked in every thread and waited for in one: Python's own handlers run only between bytecodes of the
        main thread, which a step of training can keep from happening for longer than a pod has.

        Args:
            signals: which; left out: SIGTERM.
        """
        heard = set(signals) or {signal.SIGTERM}
        for each in heard:  # process 1 of a container is not sent signals without a handler
            signal.signal(each, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_BLOCK, heard)
        threading.Thread(target=self._wait, args=(heard,), name="stop", daemon=True).start()

    def prepare(self) -> None:
        """From now on the process stops by itself, or ends in its own way, once it is asked to."""
        with self._lock:
            self._prepared = True

    def ask(self) -> None:
        """Asks to stop, as the signal does. Returns only where somebody is prepared, and has stopped in time."""
        with self._lock:
            self._asked_at = self._clock()
            prepared = self._prepared
        if prepared:
            self._on_ask()
            time.sleep(max(0.0, self._grace - MARGIN))
        try:
            self._last_words()
        finally:
            self._leave(self._code)

    def _wait(self, signals: set[signal.Signals]) -> None:
        signal.sigwait(signals)
        self.ask()


def never() -> Stopper:
    """For a stage that nobody can ask to stop, such as one in a test."""
    return Stopper(lambda: None, 0, float("inf"))

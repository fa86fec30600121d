"""SIGTERM: the pod must go. Answered from a thread, because the main one may be inside a long tensor operation."""

import os
import signal
import threading
from collections.abc import Callable


def on_sigterm(last_words: Callable[[], None], code: int) -> None:
    """Ends the process at once when SIGTERM comes.

    The signal is blocked in every thread and waited for in one: Python's own handlers run only between bytecodes of
    the main thread, which a step of training can keep from happening for longer than a pod has. Nothing that is half
    written counts: objects appear whole, and a checkpoint without COMPLETE does not exist.

    Args:
        last_words: writes the Outcome; must be quick.
        code: the exit code.
    """
    signal.signal(signal.SIGTERM, lambda *_: None)  # process 1 of a container is not sent signals without a handler
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_wait, args=(last_words, code), name="sigterm", daemon=True).start()


def _wait(last_words: Callable[[], None], code: int) -> None:
    signal.sigwait({signal.SIGTERM})
    try:
        last_words()
    finally:
        os._exit(code)

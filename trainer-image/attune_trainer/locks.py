"""One process of this machine at a time: who comes first does the work, the others wait and then find it done."""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK_AGAIN = 0.2
"""Seconds between two looks whether the other one is done."""


@contextmanager
def alone(file: Path, beat: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds a lock; the kernel gives it back, however this process ends.

    Args:
        file: what is locked; made where it is not there.
        beat: told, while it waits, that nothing is wrong with this process.
    """
    with file.open("w") as lock:
        while not _take(lock.fileno()):
            beat()
            time.sleep(_LOOK_AGAIN)
        yield


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

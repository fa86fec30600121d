"""What is printed: one line for a step that takes time, nothing for one that had nothing to do."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Self

REPORT_EVERY_SECONDS = 20.0


def say(text: str) -> None:
    """Print one line at once, also when the output is a pipe.

    It goes to standard error, so that the output of `env` and `image list --json` stays clean.
    """
    print(text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """`7 s`, `2 min 05 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class Step:
    """A step that takes long: says its name, that it still runs every 20 s, and how long it took.

    Args:
        title: what is done, as `building kubelet v1.36.3`.
        prefix: for instance `[3/14]`.
    """

    def __init__(self, title: str, *, prefix: str = "") -> None:
        self._label = f"{prefix} {title}".strip()
        self._done = threading.Event()
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        say(f"{self._label} …")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        if kind is None:
            say(f"{self._label}: done in {duration(self._elapsed())}")

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _tick(self) -> None:
        while not self._done.wait(REPORT_EVERY_SECONDS):
            say(f"{self._label}: {duration(self._elapsed())} so far")

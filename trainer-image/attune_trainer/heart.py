"""Signs of life of a training process, for whoever watches over it: a file that changes while there is progress.

Each sign says how long the next one may take, so that the watcher needs to know nothing of training.
"""

import json
import os
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

FLOOR_VARIABLE = "ATTUNE_STALL_SECONDS"
FLOOR = 120.0
"""Seconds without progress that are never a stall, however short the steps are."""
FACTOR = 10
"""A step may take so many times as long as steps mostly do."""
ALLOWANCE = 3600.0
"""Seconds without a sign of life for what is no step: the gang's meeting, loading the model, preparing the rows, the
first step, saving. Files that go to or fro give signs themselves, so they may take as long as they move."""
_REMEMBERED = 64
_APART = 1.0
"""Seconds between two signs, at least: a file is not written for every step of a millisecond."""


class Heart:
    """One process's signs of life. Transfers of files give theirs from threads.

    Args:
        file: where to give them; None: nobody watches.
        floor: see `FLOOR`.
        clock: seconds, monotonic.
    """

    def __init__(self, file: Path | None, floor: float = FLOOR, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._floor = floor
        self._clock = clock
        self._lock = threading.Lock()
        self._steps: deque[float] = deque(maxlen=_REMEMBERED)
        self._step_began: float | None = None
        self._count = 0
        self._written = float("-inf")
        self._limit = 0.0
        self._doing = ""

    @property
    def limit(self) -> float:
        """Seconds that a step may take now."""
        return max(self._floor, FACTOR * statistics.median(self._steps)) if self._steps else max(self._floor, ALLOWANCE)

    def step(self, doing: str) -> None:
        """A step begins, and what came before it is over.

        Args:
            doing: which, in words.
        """
        now = self._clock()
        if self._step_began is not None:
            self._steps.append(now - self._step_began)
        self._step_began = now
        self._doing = doing
        self._sign(self.limit)

    def beat(self) -> None:
        """There is progress within whatever is being done."""
        self._sign(self._limit)

    def allow(self, doing: str) -> None:
        """Something begins that takes its time, and that is no step.

        Args:
            doing: what, in words.
        """
        self._step_began = None
        self._doing = doing
        self._sign(max(self._floor, ALLOWANCE))

    def _sign(self, limit: float) -> None:
        with self._lock:
            self._write(limit)

    def _write(self, limit: float) -> None:
        now, changed = self._clock(), limit != self._limit
        self._limit = limit
        if self._file is None or (now - self._written < _APART and not changed):
            return
        self._written, self._count = now, self._count + 1
        beside = self._file.with_suffix(".part")
        text = json.dumps({"count": self._count, "limit": limit, "doing": self._doing})
        try:
            beside.write_text(text, encoding="utf-8")
            beside.replace(self._file)
        except OSError:  # a disk that is full is no reason to look dead
            with suppress(OSError):
                os.utime(self._file)


def floor_of(environment: Mapping[str, str]) -> float:
    """Seconds that are never a stall: as the environment says, else `FLOOR`."""
    try:
        return max(1.0, float(environment.get(FLOOR_VARIABLE, FLOOR)))
    except ValueError:
        return FLOOR


class Watcher:
    """Looks at the signs of some processes.

    Args:
        folder: where they are, one file `<rank>.beat` each.
        clock: seconds, monotonic.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._seen: dict[Path, tuple[tuple[str, int], float]] = {}

    def stalled(self) -> tuple[str, float] | None:
        """What a process was doing that shows no progress for longer than it may, and for how many seconds; or None."""
        now = self._clock()
        for file in sorted(self._folder.glob("*.beat")):
            if _has_ended(file.with_suffix(".pid")):
                continue  # the others may take as long as they do
            text = file.read_text(encoding="utf-8")
            sign_of_life = (text, file.stat().st_mtime_ns)
            before = self._seen.get(file)
            if before is None or before[0] != sign_of_life:
                self._seen[file] = (sign_of_life, now)
                continue
            sign = json.loads(text)
            if now - before[1] > sign["limit"]:
                return str(sign["doing"]), now - before[1]
        return None


def _has_ended(pid: Path) -> bool:
    """Whether the process is gone whose number a file holds."""
    try:
        os.kill(int(pid.read_text(encoding="utf-8")), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError):  # it does not say
        return False
    return False

"""When which step of a training was done, as the pods' own logs say; and what that means for a run that was struck."""

import re
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from clusters import Team

JSON = dict[str, Any]
LOOK_SECONDS = 0.5
_STEP = re.compile(r"^(\S+) .*\bstep (\d+) of \d+: loss ")
_FRACTION = re.compile(r"(\.\d{1,6})\d*Z$")


class Step(NamedTuple):
    """An optimizer step that was reported."""

    at: float
    """Seconds since the epoch, by the node's clock."""
    attempt: int
    run: str
    number: int


class Loss(NamedTuple):
    """What had to be done again after an attempt ended."""

    steps: int
    seconds: float
    """How long the attempt had been doing them."""


def read(line: str, attempt: int, run: str) -> Step | None:
    """One line of a log with the kubelet's times; None for one that tells of no step. Pure."""
    found = _STEP.match(line)
    if not found:
        return None
    at = datetime.fromisoformat(_FRACTION.sub(r"\1Z", found[1]))
    return Step(at.timestamp(), attempt, run, int(found[2]))


def losses(steps: Sequence[Step], trainings: Sequence[JSON]) -> list[Loss]:
    """What each attempt at training after the first had to do again. Pure.

    Args:
        steps: of one run, in any order.
        trainings: its attempts at training, as status tells them, oldest first.
    """
    found = []
    for before, after in pairwise(trainings):
        done = sorted(s for s in steps if s.attempt == before["number"])
        if not any(s.attempt == after["number"] for s in steps):
            continue  # it trained nothing, such as one that found the result of the attempt before it
        kept = after.get("resumedFromStep") or 0
        again = [s for s in done if s.number > kept]
        if again:
            began = max((s.at for s in done if s.number <= kept), default=again[0].at)
            found.append(Loss(done[-1].number - kept, done[-1].at - began))
    return found


def wait(steps: Sequence[Step], since: float, struck: int) -> float | None:
    """Seconds until training goes on: with the next attempt where there is one, else in the same. Pure.

    Args:
        steps: of one run, in any order.
        since: when the fault was done, or over where it lasts.
        struck: the attempt that it was done to.
    """
    later = [s.at for s in steps if s.attempt > struck] or [s.at for s in steps if s.at > since]
    return min(later) - since if later else None


@dataclass
class Diary:
    """Follows the logs of all trainings of a namespace."""

    team: Team
    _steps: list[Step] = field(default_factory=list)
    _following: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def kept(self) -> Iterator["Diary"]:
        """Follows them until the block ends."""
        thread = threading.Thread(target=self._look, name="diary", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()
            for process in self._following.values():
                process.kill()
                process.wait()

    def steps(self, uid: str) -> list[Step]:
        """The steps of one run so far, in the order in which they were heard of."""
        return [step for step in list(self._steps) if step.run == uid]

    def until(self, uid: str, number: int, timeout: float, attempt: int = 1) -> Step:
        """Waits for a step of an attempt, or of a later one."""
        deadline = time.monotonic() + timeout
        while True:
            there = [s for s in self.steps(uid) if s.number >= number and s.attempt >= attempt]
            if there:
                return there[-1]
            last = self.steps(uid)[-1:]
            assert time.monotonic() < deadline, f"step {number}: not within {timeout:.0f} s; the last was {last}"
            time.sleep(0.1)

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            for pod in self.team.pods("train"):
                if pod["metadata"]["uid"] not in self._following and pod["status"]["phase"] != "Pending":
                    self._follow(pod)

    def _follow(self, pod: JSON) -> None:
        meta = pod["metadata"]
        process = self.team.cluster.stream("logs", "-f", "--timestamps", "-n", self.team.namespace, meta["name"])
        self._following[meta["uid"]] = process
        labels = meta["labels"]
        arguments = (process, int(labels["attune.dev/attempt"]), labels["attune.dev/run"])
        threading.Thread(target=self._read, args=arguments, daemon=True).start()

    def _read(self, process: subprocess.Popen[str], attempt: int, run: str) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            step = read(line, attempt, run)
            if step:
                self._steps.append(step)

"""Many short runs with harm by chance: what is done to which, and what must be true of all of them in the end. Pure."""

import random
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from peril.podresults import end_of

JSON = dict[str, Any]
STAGES = ["Preflight", "Train", "Evaluate", "Publish"]
HEAD = "| what is done to a run | runs | how they end | attempts beyond one a stage |"
WARM_UP = 1 / 3
"""Share of the time after which an operator's memory should be what it stays."""
FEWEST_SAMPLES = 20
GROWTH = 1.10


class Harm(StrEnum):
    """What is done to a run; its value is what the table calls it."""

    NONE = "nothing"
    KILL = "trainer killed"
    DELETE = "pod deleted"
    EVICT = "pod evicted"
    PAUSE = "suspended and resumed"
    LOSE = "Job deleted"
    BUSY = "store answers 503"
    DATA = "data that cannot be used"
    REMOVE = "FineTuneJob deleted, its files with it"


_OFTEN = {Harm.NONE: 8, Harm.KILL: 3, Harm.DELETE: 2, Harm.EVICT: 2, Harm.PAUSE: 2}
"""How often, where it is not once in twenty-one."""


class Planned(NamedTuple):
    """One run."""

    name: str
    at: float
    """Seconds after the beginning when it may be submitted."""
    harm: Harm
    after: float
    """Seconds of training after which the harm is done."""


def plan(runs: int, minutes: float, seed: int) -> list[Planned]:
    """Which runs there will be, evenly over the time; follows from the seed."""
    dice = random.Random(seed)  # noqa: S311 - not for secrets
    weights = [_OFTEN.get(harm, 1) for harm in Harm]
    drawn = dice.choices(list(Harm), weights, k=runs)
    apart = 60 * minutes / runs
    return [Planned(f"run-{n}", n * apart, harm, dice.uniform(0, 12)) for n, harm in enumerate(drawn)]


def untrue(planned: Planned, job: JSON | None, keys: Sequence[str]) -> list[str]:
    """What is not as it should be with a run that is over.

    Args:
        planned: what was done to it.
        job: the FineTuneJob; None where it is gone.
        keys: its objects in the store, relative to its prefix.
    """
    if planned.harm is Harm.REMOVE:
        left = [f"its files are still there: {', '.join(keys[:3])}"] if keys else []
        return _of(planned, [*left, *(["it is still there"] if job else [])])
    if job is None:
        return _of(planned, ["it is gone, and nobody deleted it"])
    attempts = job["status"].get("attempts", [])
    wrong = [f"{a['jobName']} does not say how it ended" for a in attempts if not (a.get("endTime") and a["reason"])]
    wrong += _partial(keys)
    if planned.harm is Harm.DATA:
        expected = "Failed, InvalidData"
    else:
        expected = "Succeeded"
        done = [a["stage"] for a in attempts if a["state"] == "Succeeded"]
        wrong += [f"stages that succeeded: {done}"] if done != STAGES else []
        wrong += [] if "manifest.json" in keys else ["it has no manifest"]
    if end_of(job) != expected:
        wrong.append(f"{end_of(job)}, not {expected}: {job['status'].get('message')}")
    return _of(planned, wrong)


def _of(planned: Planned, wrong: Sequence[str]) -> list[str]:
    return [f"{planned.name} ({planned.harm}): {problem}" for problem in wrong]


def _partial(keys: Sequence[str]) -> list[str]:
    """Checkpoints that lie about without ever having become complete."""
    steps = {key.split("/")[1] for key in keys if key.startswith("checkpoints/")}
    return [f"checkpoint {s} is not complete" for s in sorted(steps) if f"checkpoints/{s}/COMPLETE" not in keys]


def growth(memory: Sequence[float]) -> float | None:
    """How an operator's memory grew after it was warm: its median at the end over that at the beginning.

    Args:
        memory: samples at even distances, from the beginning to the end.

    Returns:
        1.0 where it stayed the same; None where there are too few samples to tell.
    """
    warm = memory[int(len(memory) * WARM_UP) :]
    if len(warm) < FEWEST_SAMPLES:
        return None
    fifth = len(warm) // 5
    return statistics.median(warm[-fifth:]) / statistics.median(warm[:fifth])


@dataclass(frozen=True)
class SoakRow:
    """One line of the table: all runs that the same was done to."""

    harm: Harm
    jobs: tuple[JSON | None, ...]

    def line(self) -> str:
        """As Markdown."""
        ends = Counter("deleted" if job is None else end_of(job) for job in self.jobs)
        extra = sum(_extra(job) for job in self.jobs if job)
        said = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
        return f"| {self.harm} | {len(self.jobs)} | {said} | {extra} |"


def _extra(job: JSON) -> int:
    attempts = job["status"].get("attempts", [])
    return len(attempts) - len({a["stage"] for a in attempts})

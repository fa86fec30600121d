"""Lines of the tables about pods and the store: how a run ended, what it cost, and what its status said. Pure."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from clusters import conditions
from peril import diary
from peril.diary import Step

JSON = dict[str, Any]
POD_HEAD = (
    "| what goes wrong | how it ends | attempts at training | steps done again "
    "| from the fault, or its end, to the next step | what a user sees |"
)
ENDED_BY_THE_CLUSTER = {"PodDisrupted", "JobLost"}
"""Why a pod ended that the cluster took away: the second where it was gone before anybody saw its condition."""
NOTHING = "nothing: the run goes on"
LONGEST_QUOTE = 220
_VARIES = (
    (re.compile(r"https?://[0-9.]+(:\d+)?"), "http://store"),
    (re.compile(r"s3://\S+?/runs/[0-9a-f-]{36}/"), "s3://…/"),
    (re.compile(r"attune-test-[0-9a-f]{8}/team-[0-9a-f]{8}|team-[0-9a-f]{8}"), "team"),
    (re.compile(r"\b([\w-]+?)-[0-9a-f]{8}-(train|preflight|evaluate|publish)-(\d+)(-[a-z0-9]{5})?"), r"\1-\2-\3"),
    (re.compile(r"/tmp/attune-[^\s/]+"), "/tmp/…"),  # noqa: S108 - text of messages
    (re.compile(r"sha256:[0-9a-f]{16,}"), "sha256:…"),
)


@dataclass(frozen=True)
class PodRow:
    """One line of the table."""

    fault: str
    end: str
    attempts: str
    again: str
    wait: str
    says: str

    def line(self) -> str:
        """As Markdown."""
        cells = (self.fault, self.end, self.attempts, self.again, self.wait, self.says)
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def trainings(job: JSON) -> list[JSON]:
    """A run's attempts at training, oldest first."""
    return [a for a in job.get("status", {}).get("attempts", []) if a["stage"] == "Train"]


def row(
    fault: str, job: JSON, steps: Sequence[Step], since: float | None = None, struck: int = 1, seen: str = ""
) -> PodRow:
    """What became of a run.

    Args:
        fault: what went wrong.
        job: the FineTuneJob when it was over.
        steps: that its trainings reported.
        since: when the fault was done, or over where it lasts; seconds since the epoch.
        struck: the attempt that it was done to.
        seen: what the status said meanwhile; else that is taken from the attempts.
    """
    waited = diary.wait(steps, since, struck) if since is not None else None
    again = [str(loss.steps) for loss in diary.losses(steps, trainings(job))]
    return PodRow(
        fault=fault,
        end=end_of(job),
        attempts=_attempts(trainings(job)),
        again=", ".join(again) or "0",
        wait=f"{waited:.1f} s" if waited is not None else "—",
        says=quoted(seen or said(job)),
    )


def broken(job: JSON, jobs: Sequence[str], steps: Sequence[Step], most_seconds: float) -> list[str]:
    """Promises that were not kept; empty is good.

    Args:
        job: the FineTuneJob when it was over.
        jobs: names of the Jobs that are there for it.
        steps: that its trainings reported.
        most_seconds: of training that may have to be done again.
    """
    attempts = job["status"].get("attempts", [])
    wrong = [
        f"attempt {after['jobName']} began before {before['jobName']} had ended"
        for before, after in pairwise(attempts)
        if not before.get("endTime") or before["endTime"] > after["startTime"]
    ]
    wrong += [f"{a['jobName']} does not say why it ended" for a in attempts if not (a["reason"] and a["message"])]
    wrong += [
        f"{loss.steps} steps, {loss.seconds:.1f} s of training, had to be done again"
        for loss in diary.losses(steps, trainings(job))
        if loss.seconds > most_seconds
    ]
    unknown = set(jobs) - {a["jobName"] for a in attempts}
    return [*wrong, *(f"Job {name} is of no attempt" for name in sorted(unknown))]


def end_of(job: JSON) -> str:
    """How a run ended, in words for the table."""
    found = conditions(job)
    if found.get("Finished", {}).get("status") != "True":
        return f"not over: {job['status'].get('phase')}"
    return "Succeeded" if found["Succeeded"]["status"] == "True" else f"Failed, {found['Failed']['reason']}"


def _attempts(tried: Sequence[JSON]) -> str:
    counts = Counter(a["reason"] or a["state"] for a in tried)
    return f"{len(tried)}: {', '.join(f'{n} {reason}' if n > 1 else reason for reason, n in counts.items())}"


def said(job: JSON) -> str:
    """What status says of what went wrong: of the first attempt that did not succeed, else the first warning."""
    attempts = job["status"].get("attempts", [])
    bad = [a.get("message", "") for a in attempts if a["state"] != "Succeeded"]
    warnings = [w for a in attempts for w in a.get("warnings") or ()]
    return next(iter([*bad, *warnings]), "")


def quoted(text: str) -> str:
    """For the table: without what differs from run to run, and not too long."""
    for what, instead in _VARIES:
        text = what.sub(instead, text)
    short = text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE].rstrip()}…"
    return f"“{short}”" if short else NOTHING

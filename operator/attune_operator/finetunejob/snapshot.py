"""What was seen of one run at one moment: everything that the pure rooms may judge by."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from attune_contract.outcome import Outcome
from attune_contract.progress import Progress
from attune_operator.api.finetunejob import FineTuneJob
from attune_operator.api.problems import FieldProblem
from attune_operator.api.tunedmodel import TunedModel
from attune_operator.api.tuningruntime import TuningRuntime

JSON = dict[str, Any]


class JobState(StrEnum):
    """How far a `batch/v1` Job is."""

    ACTIVE = "Active"
    """Not ended."""
    SUSPENDED = "Suspended"
    """Held by a queue: its pods are not created yet."""
    COMPLETE = "Complete"
    """All pods succeeded."""
    FAILED = "Failed"
    """A pod failed; the others are gone."""


@dataclass(frozen=True)
class JobView:
    """A Job of ours."""

    name: str
    uid: str
    state: JobState
    deleting: bool
    created: datetime
    disrupted: str = ""
    """Message of the Job where it failed because the cluster ended one of its pods."""
    failure: str = ""
    """Message of the Job's condition Failed, such as that its deadline was exceeded."""
    expired: bool = False
    """It failed because it took longer than its deadline."""
    ended_at: str = ""
    """RFC 3339, once it is over."""
    runtime: str = ""
    """Digest of the TuningRuntime that it was made from; empty: by an operator that did not note it."""

    @property
    def over(self) -> bool:
        """Whether it ended by itself."""
        return self.state in (JobState.COMPLETE, JobState.FAILED)


@dataclass(frozen=True)
class PodView:
    """A Pod of ours, as much of it as is judged by."""

    name: str
    index: int
    """Completion index: the rank of its node in the gang."""
    phase: str
    """Pending, Running, Succeeded or Failed."""
    ip: str = ""
    image: str = ""
    """Image by digest, as the node reports it once the container started."""
    exit_code: int | None = None
    """Of the trainer container, once it ended."""
    terminated_reason: str = ""
    """`OOMKilled`, `Error`, ... once it ended; or the pod's own reason, such as `Evicted`."""
    finished_at: str = ""
    """RFC 3339, once it ended."""
    termination_message: str = ""
    """The Outcome, if the trainer got to write one; else the last lines of its log."""
    disrupted: str = ""
    """Message of the condition DisruptionTarget: preempted, drained, node lost."""
    unschedulable: str = ""
    """The scheduler's message where no node fits."""
    waiting_reason: str = ""
    """Why the container cannot start, such as `ImagePullBackOff`."""
    waiting_message: str = ""
    node: str = field(default="", compare=False)
    """Node that it was bound to."""
    started_at: str = field(default="", compare=False)
    """RFC 3339: when its node took it up, and it began to cost. No news to a plan, so not compared."""
    leaving_at: str = ""
    """RFC 3339, once it is being deleted: when its grace period is over."""

    @property
    def alive(self) -> bool:
        """Whether its container may still run."""
        return self.phase not in ("Succeeded", "Failed") and self.exit_code is None


@dataclass(frozen=True)
class LookView:
    """A Job of one pod that looks at something and says what it found: at training data, or at published versions."""

    over: bool
    outcome: Outcome | None = None
    words: str = ""
    """Why it found nothing: a reason and a sentence, secrets masked; empty where it did its work."""
    disrupted: bool = False
    """The cluster ended it, or its node refused it: nobody's mistake."""
    queued: bool = False
    """Held by a queue: its time has not begun."""
    waits: str = ""
    """Why its pod does not start, where that is known."""


@dataclass(frozen=True)
class QueueView:
    """What Kueue says of a Job that it holds."""

    installed: bool
    """Whether the API server serves Kueue's API at all."""
    name: str = ""
    """LocalQueue that the Job waits in."""
    known: bool = True
    """False: Kueue has made no Workload for the Job."""
    active: bool = True
    """False: Kueue gave the Workload up, or an admin did."""
    reason: str = ""
    """Reason of the condition QuotaReserved, such as Pending or Inadmissible."""
    message: str = ""
    """Its message: which quota is lacking, or what is wrong with the queue."""
    evicted_reason: str = ""
    """Reason of the condition Evicted, while that is true."""
    evicted_message: str = ""
    position: int | None = None
    """Workloads that are before it in its LocalQueue, where Kueue tells."""


@dataclass(frozen=True)
class Warned:
    """A recent warning Event about the Job or its pods."""

    reason: str
    message: str


@dataclass(frozen=True)
class Snapshot:
    """One run as seen at `now`."""

    run: FineTuneJob
    now: datetime
    spec_problems: tuple[FieldProblem, ...] = ()
    """Everything wrong with the spec; `run.spec` is not used where there is any."""
    runtime: TuningRuntime | None = None
    runtime_problems: tuple[FieldProblem, ...] = ()
    tuned_model: TunedModel | None = None
    """The TunedModel that spec.output.register names, if it is there."""
    namespace_labels: dict[str, str] = field(default_factory=dict)
    """Read only where the runtime selects namespaces."""
    job: JobView | None = None
    """The Job of the newest attempt, if that has not succeeded and the Job is there and ours."""
    pods: tuple[PodView, ...] = ()
    """The pods of that Job, by index."""
    warnings: tuple[Warned, ...] = ()
    """Recent warning Events of that Job or its pods, newest first; read while they do not run."""
    progress: Progress | None = None
    """A fresh answer of the running pod; None where it was not asked or did not answer."""
    queue: QueueView | None = None
    """What Kueue says; None where the run has no queue and no Job of it is held."""
    lost: dict[str, str] = field(default_factory=dict)
    """Pods that are on nodes that will not say that they ended, by name, with what is known of the node."""

"""TunedModel: versions of one model, which is in use, and how another takes its place."""

from typing import Annotated, Any

from pydantic import Field

from attune_contract.base import Frozen, Reported
from attune_contract.enums import DeletionPolicy, Method, OutputFormat, Verdict
from attune_contract.monitoring import Monitoring
from attune_contract.outcome import MetricResult
from attune_contract.quantities import Duration
from attune_contract.serving import Server
from attune_contract.spec import Resources, SecretName, URIText
from attune_operator.api import schedule_rules
from attune_operator.api.enums import AttemptState, Promotion, VersionState
from attune_operator.api.finetunejob import Queue
from attune_operator.api.meta import Condition, ObjectMeta
from attune_operator.api.parsing import read
from attune_operator.api.problems import FieldProblem
from attune_operator.api.schedules import Cron, CronSeen, ObjectName
from attune_operator.api.status import Time

VersionNumber = Annotated[int, Field(ge=1, le=1_000_000)]
Percent = Annotated[int, Field(ge=0, le=100)]
UNDECIDED = frozenset({VersionState.CANDIDATE, VersionState.COMPARING})
"""Versions of which it is not known yet whether they are better than the champion."""


class RolloutStep(Frozen):
    """One step of a challenger on its way."""

    challenger_percent: Annotated[int, Field(ge=1, le=100)]
    """Part of the traffic that it gets."""
    duration: Duration = "24h"
    """How long at least. The monitor must have looked at it meanwhile, and not found it worse than the champion."""


class Rollout(Frozen):
    """How traffic is split between champion and challenger."""

    challenger_percent: Percent = 0
    """Part of the traffic of a challenger that waits for spec.promote. With promotion Automatic there is one only where
    there are steps: else a better version becomes champion at once."""
    sticky_by: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$", max_length=63)] = "targetingKey"
    """Property of the evaluation context by which one user always gets the same variant, such as `userID`."""
    steps: Annotated[tuple[RolloutStep, ...], Field(max_length=16)] = ()
    """With promotion Automatic: a better version gets growing parts of the traffic before it becomes champion."""


class Serving(Frozen):
    """What serves the model; runs that it could not load are refused before they train."""

    server: Server
    """The server."""
    max_rank: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Highest rank of an adapter that it loads (vLLM's --max-lora-rank). Left out: 16 for vLLM."""


class Monitor(Frozen):
    """Looks at the champion (and the challenger) on fresh rows."""

    cron: Cron
    """When it looks."""
    source: URIText
    """Prefix (ending in `/`) or glob of files where applications drop rows by day: the method's format, with `variant`,
    `timestamp` and `rating` where they have them."""
    credentials_secret: SecretName | None = None
    """Secret in this namespace with the keys to the rows. Left out: the Secret of the version's data."""
    runtime: ObjectName | None = None
    """The TuningRuntime that it runs on. Left out: the champion's own."""
    resources: Resources = Resources(gpus_per_node=0)
    """Of its one pod."""
    queue: Queue | None = None
    """How its pod waits for quota (Kueue). Left out: it does not."""
    window: Duration = "168h"
    """Rows of the last so many hours are recent."""
    min_rows: Annotated[int, Field(ge=20, le=100_000)] = 50
    """With fewer recent rows nothing is said of drift."""
    max_rows: Annotated[int, Field(ge=100, le=100_000)] = 2000
    """Most rows that are looked at."""
    false_alarms: Annotated[float, Field(ge=0.001, le=0.2)] = 0.05
    """Share of looks, of those in which nothing changed, that may raise an alarm."""
    history_limit: Annotated[int, Field(ge=1, le=200)] = 60
    """Looks that status keeps."""


class TunedModelSpec(Frozen):
    """How versions of a model replace each other. Versions come from FineTuneJobs with `output.register`."""

    promotion: Promotion = Promotion.AUTOMATIC
    """Who decides which version is the champion."""
    promote: VersionNumber | None = None
    """With promotion Manual: the version that shall be champion. A pull request that sets it is the approval."""
    rollback_to: VersionNumber | None = None
    """This version is champion for as long as it stands here, whatever else there is."""
    history_limit: Annotated[int, Field(ge=1, le=500)] = 20
    """Versions that can be promoted or rolled back to. Of older ones the figures are kept, up to 500, and the files."""
    rollout: Rollout = Rollout()
    """How traffic is split between champion and challenger."""
    serving: Serving | None = None
    """What serves the model."""
    monitor: Monitor | None = None
    """Looks at the champion on fresh rows."""


class Compared(Reported):
    """How a version compares with a champion on the same rows."""

    champion: int
    """The champion's version."""
    better: bool
    """Whether it may take the champion's place."""
    message: str = ""
    """The figures in a sentence."""


class Version(Reported):
    """One version."""

    version: int
    """From 1."""
    state: VersionState
    """What became of it."""
    message: str = ""
    """Why, in a sentence."""
    run: str
    """The FineTuneJob."""
    run_id: str
    """Its metadata.uid."""
    model_uri: str
    """The published model."""
    digest: str = ""
    """Of its manifest."""
    manifest_uri: str = ""
    """Its lineage."""
    run_uri: str = ""
    """Prefix of the run."""
    method: Method
    """How it learnt."""
    base: str
    """The model before tuning."""
    format: OutputFormat
    """What was published."""
    rank: int | None = None
    """Rank of its adapter."""
    data_digest: str = ""
    """Of the rows that it learnt from."""
    test_digest: str = ""
    """Of the rows that it was evaluated on."""
    verdict: Verdict | None = None
    """What the gate said."""
    results: tuple[MetricResult, ...] = ()
    """Its evaluation, over all rows."""
    gated: bool = False
    """Whether its gate asks for more than to be as good as the champion."""
    compared: Compared | None = None
    """How it compares with the champion of that time."""
    deletion_policy: DeletionPolicy = DeletionPolicy.RETAIN
    """Whether its files go with its run."""
    runtime: str = ""
    """TuningRuntime of its run."""
    resources: Resources = Resources(gpus_per_node=0)
    """Of its run; one pod of them compares it with a champion."""
    queue: Queue | None = None
    """Of its run; a comparison waits in it."""
    secrets: dict[str, str] = {}
    """Secrets that its run named, by role."""
    published_at: Time
    """When its run was over."""
    promoted_at: Time | None = None
    """When it became champion, the last time."""


class Current(Reported):
    """A version, as much of it as one wants to see at once."""

    version: int
    """Its number."""
    run: str
    """The FineTuneJob."""
    model_uri: str
    """The published model."""
    digest: str = ""
    """Of its manifest."""
    since: Time
    """Since when it is what it is."""


class Declined(Reported):
    """A run that registers here and published nothing."""

    run: str
    """The FineTuneJob."""
    run_id: str
    """Its metadata.uid."""
    verdict: str
    """What the gate said, or Failed for a run that could not be done."""
    message: str
    """Why, in a sentence."""
    time: Time
    """When it was over."""


class RolloutStatus(Reported):
    """How far a challenger is."""

    version: int
    """The challenger."""
    step: int
    """Index in spec.rollout.steps."""
    challenger_percent: int
    """Part of the traffic that it gets now."""
    since: Time
    """Since when."""


class LookRecord(Reported):
    """A look that is under way: one Job."""

    purpose: str
    """Monitor, or Compare for a version that must be compared with the champion."""
    at: Time
    """The time that it is for."""
    number: Annotated[int, Field(ge=1)]
    """Attempts at it, this one included."""
    failures: Annotated[int, Field(ge=0)] = 0
    """Attempts before this one that failed. One that the cluster ended, or that its node refused, does not count."""
    job_name: str
    """The Job, in this namespace."""
    state: AttemptState
    """How far it is."""
    champion: int
    """The champion that it looks at."""
    challenger: int | None = None
    """The other version that it looks at."""
    message: str = ""
    """Why an attempt at it failed."""
    start_time: Time
    """When it was recorded, just before its Job was created."""
    end_time: Time | None = None
    """When it was seen to have failed; another attempt follows after a while."""


class Moved(Reported):
    """One metric of a look, as the history keeps it."""

    metric: str
    """The metric."""
    before: float
    """At promotion."""
    now: float
    """On the recent rows."""
    drop: float
    """How much worse it is, in the metric's unit."""
    dropped: bool
    """Whether that is more than chance."""


class LookEntry(Reported):
    """One look, as the history keeps it."""

    at: Time
    """The time that it was for."""
    version: int
    """The champion of that time."""
    rows: int = 0
    """Recent rows that could be used."""
    labelled_rows: int = 0
    """Those with the right answer."""
    drifted: bool = False
    """Whether anything had moved."""
    score: float | None = None
    """How well recent inputs can be told from those of training; 0.5 is not at all."""
    score_threshold: float | None = None
    """Above it the inputs have moved."""
    psi: float | None = None
    """Population stability index of the labels; 0 is no shift."""
    metrics: tuple[Moved, ...] = ()
    """The champion's figures."""


class MonitorStatus(Reported):
    """What the monitor saw."""

    cron: CronSeen | None = None
    """How far the cron has been followed."""
    next_time: Time | None = None
    """When it looks next."""
    last: Monitoring | None = None
    """The last look, with all that was found."""
    history: tuple[LookEntry, ...] = ()
    """Figures of every look, the newest first; spec.monitor.historyLimit are kept."""
    message: str = ""
    """Why the last look failed, if it did."""


class TunedModelSummary(Reported):
    """Figures as text, for the columns of `kubectl get`."""

    champion: str | None = None
    """Such as `v3`."""
    challenger: str | None = None
    """Such as `v4 (10 %)`."""
    score: str | None = None
    """The first metric of the champion, such as `Accuracy 0.91`."""
    drift: str | None = None
    """Such as `none` or `inputs, Accuracy`."""


class TunedModelStatus(Reported):
    """Which versions there are, and which is in use."""

    observed_generation: int | None = None
    """metadata.generation of the spec that this status is about."""
    message: str = ""
    """What goes on, in a sentence."""
    conditions: tuple[Condition, ...] = ()
    """Ready, Reconciling, Stalled."""
    champion: Current | None = None
    """The version in use."""
    challenger: Current | None = None
    """The version that may take its place."""
    previous_champion: Current | None = None
    """The version that was in use before."""
    versions: tuple[Version, ...] = ()
    """Every version, the newest first."""
    declined: tuple[Declined, ...] = ()
    """Runs that published nothing, the newest first; ten are kept."""
    rollout: RolloutStatus | None = None
    """How far a challenger is."""
    look: LookRecord | None = None
    """A look that is under way."""
    monitor: MonitorStatus | None = None
    """What the monitor saw."""
    config_map: str | None = None
    """ConfigMap with URIs, digests and the flag, in this namespace."""
    summary: TunedModelSummary | None = None
    """Figures as text, for the columns of `kubectl get`."""

    def dump(self) -> dict[str, Any]:
        """The status as JSON for the API server; what has no value is left out."""
        return self.model_dump(mode="json", exclude_none=True)

    def use_of(self, run_id: str) -> str:
        """What the version that a run published is used as; empty where it is not in use."""
        places = {"champion": self.champion, "challenger": self.challenger, "previous champion": self.previous_champion}
        made = {v.version for v in self.versions if v.run_id == run_id}
        return next((place for place, held in places.items() if held is not None and held.version in made), "")

    def version(self, number: int | None) -> Version | None:
        """The version of a number."""
        return next((v for v in self.versions if v.version == number), None)


class TunedModel(Reported):
    """A TunedModel as stored."""

    metadata: ObjectMeta
    spec: TunedModelSpec
    status: TunedModelStatus = TunedModelStatus()

    def undecided(self) -> frozenset[str]:
        """UIDs of runs whose version waits for a comparison; none under Manual, where a person has the word."""
        if self.spec.promotion is not Promotion.AUTOMATIC:
            return frozenset()
        return frozenset(v.run_id for v in self.status.versions if v.state in UNDECIDED)

    def needs(self, run_id: str) -> str:
        """Why the files of the version that a run published have to stay, such as `is champion`; empty where not."""
        if use := self.status.use_of(run_id):
            return f"is {use}"
        return "is yet to be compared with the champion" if run_id in self.undecided() else ""

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> "tuple[TunedModel, tuple[FieldProblem, ...]]":
        """Reads a TunedModel as the API server gives it; where anything is wrong, `spec` must not be used."""
        found = read(raw, TunedModelSpec, TunedModelStatus, schedule_rules.TUNEDMODEL)
        made = cls.model_construct(metadata=found.metadata, spec=found.spec, status=found.status)
        return made, found.problems

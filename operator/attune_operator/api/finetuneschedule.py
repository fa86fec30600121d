"""FineTuneSchedule: when a model is trained again, as a user writes it and as the operator reports on it."""

from typing import Annotated, Any

from pydantic import Field

from attune_contract.base import Frozen, Reported
from attune_contract.enums import MetricName
from attune_contract.quantities import Duration
from attune_operator.api import schedule_rules
from attune_operator.api.enums import ConcurrencyPolicy, Trigger, WaveState
from attune_operator.api.meta import Condition, ObjectMeta
from attune_operator.api.parsing import read
from attune_operator.api.problems import FieldProblem
from attune_operator.api.schedules import (
    Breaker,
    Cron,
    CronSeen,
    JobTemplate,
    LastTrigger,
    MonthlyBudget,
    ObjectName,
    Skipped,
    Spend,
)
from attune_operator.api.status import Time


class NewData(Frozen):
    """Runs when the training data has changed."""

    min_new_rows: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    """So many rows more than the last run had. 0: any change, fewer rows included."""
    poll_interval: Duration = "1h"
    """How often a small pod lists the objects of jobTemplate's dataset.train and counts their rows; 5s at least. After
    a start it looks at once, and what it finds then is what the runs have."""


class Drift(Frozen):
    """Runs when a TunedModel's monitor says that the world has changed: by these bounds or, without any, by its own."""

    tuned_model: ObjectName | None = None
    """The TunedModel in this namespace. Left out: jobTemplate's output.register."""
    metric: MetricName | None = None
    """With maxDrop: the metric that it is about."""
    max_drop: Annotated[float, Field(ge=0, le=1_000_000)] | None = None
    """A metric that is worse by more than this than it was at promotion, be it by chance: of few rows much is."""
    max_score: Annotated[float, Field(ge=0.5, le=1)] | None = None
    """Inputs that differ from those of training by more than this (0.5: not at all, 1: entirely)."""
    for_: Annotated[int, Field(alias="for", ge=1, le=100)] = 1
    """So many evaluations in a row must say so."""


class Triggers(Frozen):
    """What starts runs. Any of them does; `kubectl annotate fts NAME attune.dev/trigger=now` always does."""

    cron: Cron | None = None
    """Runs by the clock."""
    new_data: NewData | None = None
    """Runs when the training data has changed."""
    drift: Drift | None = None
    """Runs when a TunedModel's monitor says that the world has changed."""
    template_change: bool = True
    """Runs when spec.jobTemplate becomes another. Applying the same one again never starts a run."""


class FineTuneScheduleSpec(Frozen):
    """When a model is trained again."""

    job_template: JobTemplate
    """What runs are made from."""
    triggers: Triggers = Triggers()
    """What starts runs."""
    cooldown: Duration | None = None
    """Nothing but a person starts a run sooner after the last one began."""
    concurrency_policy: ConcurrencyPolicy = ConcurrencyPolicy.FORBID
    """What happens when it is time and a run is still active."""
    suspend: bool = False
    """True: nothing starts. Active runs go on."""
    successful_runs_history_limit: Annotated[int, Field(ge=0, le=1000)] = 3
    """FineTuneJobs that succeeded and are kept; older ones are deleted, their files are not."""
    failed_runs_history_limit: Annotated[int, Field(ge=0, le=1000)] = 3
    """FineTuneJobs that failed and are kept."""
    stalled_deadline: Duration | None = None
    """A run that has waited for a person for longer than this (stalled, suspended, not approved) is deleted, and counts
    as failed; its files stay, but for output.deletionPolicy. Left out: it is waited for, and keeps its place in a
    wave."""
    breaker: Breaker = Breaker()
    """When failures end the schedule."""
    budget: MonthlyBudget | None = None
    """What its runs may cost in a calendar month (UTC)."""


class RunRecord(Reported):
    """A run that the schedule is about to create, or that is not over."""

    name: str
    """The FineTuneJob, in this namespace."""
    created: bool = False
    """Whether it was created; else its turn has not come."""
    trigger: Trigger
    """What started it."""
    time: Time
    """When it was decided."""
    values: dict[str, str] = {}
    """Its values of jobTemplate.matrix."""
    wave: str | None = None
    """The wave that asked for it."""
    cost: str = "0"
    """What it has cost so far."""
    expected: str = "0"
    """What it will have cost at most, as its estimate says; 0 while there is none."""


class DataSeen(Reported):
    """What is known of the training data."""

    digest: str = ""
    """Of the names and versions of all objects of jobTemplate's dataset.train."""
    rows: int = 0
    """Rows in them."""
    checked_at: Time | None = None
    """When they were looked at last."""
    used_digest: str | None = None
    """The digest when the last run was started. Left out: not known yet, and the next look says."""
    used_rows: int = 0
    """The rows when the last run was started."""
    poll: str | None = None
    """Job that looks at them now."""
    polled_at: Time | None = None
    """When that Job was recorded."""
    message: str = ""
    """Why they could not be looked at."""


class WaveRequest(Reported):
    """What a ClusterFineTuneSchedule asked for, the last time."""

    wave: str
    """The wave: name of the ClusterFineTuneSchedule and the time of its start."""
    state: WaveState
    """How far it is."""
    message: str = ""
    """Why it was skipped, or what failed."""
    paused: bool = False
    """Whether the wave is held up, as by its window: runs of it whose turn has not come wait until it goes on."""
    cost: str = "0"
    """What its runs have cost so far."""
    failed: int = 0
    """Its runs that failed, and those that were replaced or never started."""


class ScheduleSummary(Reported):
    """Figures as text, for the columns of `kubectl get`."""

    active: int = 0
    """Runs that are created and not over."""
    spent: str | None = None
    """Such as `12.40 USD`."""


class FineTuneScheduleStatus(Reported):
    """What a schedule did and will do."""

    observed_generation: int | None = None
    """metadata.generation of the spec that this status is about."""
    message: str = ""
    """What comes next or why nothing does, in a sentence."""
    conditions: tuple[Condition, ...] = ()
    """Ready, Reconciling, Stalled."""
    cron: CronSeen | None = None
    """How far the cron has been followed."""
    last_run_time: Time | None = None
    """When runs were started last."""
    last_end_time: Time | None = None
    """When a run was over last."""
    next_run_time: Time | None = None
    """When the cron starts the next."""
    last_trigger: LastTrigger | None = None
    """What started them, and why."""
    skipped: tuple[Skipped, ...] = ()
    """Starts that did not take place, the newest first; five are kept."""
    runs: tuple[RunRecord, ...] = ()
    """Runs that are not over, and those whose turn has not come."""
    failures_in_a_row: int = 0
    """Runs that failed since one succeeded; what spec.breaker counts."""
    spend: Spend | None = None
    """What was spent this month."""
    template_digest: str | None = None
    """Of the jobTemplate that the last run was made from."""
    data: DataSeen | None = None
    """What is known of the training data (triggers.newData)."""
    wave: WaveRequest | None = None
    """What a ClusterFineTuneSchedule asked for."""
    handled_trigger: str | None = None
    """Value of the annotation attune.dev/trigger that was acted on and is about to be removed."""
    summary: ScheduleSummary | None = None
    """Figures as text, for the columns of `kubectl get`."""

    def dump(self) -> dict[str, Any]:
        """The status as JSON for the API server; what has no value is left out."""
        return self.model_dump(mode="json", exclude_none=True)


class FineTuneSchedule(Reported):
    """A FineTuneSchedule as stored."""

    metadata: ObjectMeta
    spec: FineTuneScheduleSpec
    status: FineTuneScheduleStatus = FineTuneScheduleStatus()

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> "tuple[FineTuneSchedule, tuple[FieldProblem, ...]]":
        """Reads a FineTuneSchedule as the API server gives it; where anything is wrong, `spec` must not be used."""
        found = read(raw, FineTuneScheduleSpec, FineTuneScheduleStatus, schedule_rules.FINETUNESCHEDULE)
        made = cls.model_construct(metadata=found.metadata, spec=found.spec, status=found.status)
        return made, found.problems

"""ClusterFineTuneSchedule: waves of FineTuneSchedules over namespaces, with limits on how many run at once."""

from typing import Annotated, Any

from pydantic import Field

from attune_contract.base import Frozen, Reported
from attune_operator.api import schedule_rules
from attune_operator.api.enums import WaveOrder, WaveState
from attune_operator.api.meta import Condition, LabelSelector, ObjectMeta
from attune_operator.api.parsing import read
from attune_operator.api.problems import FieldProblem
from attune_operator.api.schedules import Cron, CronSeen, LastTrigger, MonthlyBudget, Skipped, Spend, Window
from attune_operator.api.status import Time


class ClusterFineTuneScheduleSpec(Frozen):
    """Fires FineTuneSchedules that exist; it never creates anything that a namespace's owner did not define."""

    namespace_selector: LabelSelector = LabelSelector()
    """Namespaces, by their labels. Left out: all."""
    selector: LabelSelector = LabelSelector()
    """FineTuneSchedules in them, by their labels. Left out: all."""
    cron: Cron
    """When a wave begins. None begins while the one before is under way."""
    window: Window | None = None
    """When runs may start; what has not started when it closes waits until it opens again. Left out: at any time."""
    max_concurrent: Annotated[int, Field(ge=1, le=10_000)] = 3
    """Runs of the wave that are active at once, over all namespaces."""
    order: WaveOrder = WaveOrder.OLDEST_CHAMPION_FIRST
    """Which schedules come first."""
    budget: MonthlyBudget | None = None
    """What its waves may cost in a calendar month (UTC)."""
    suspend: bool = False
    """True: nothing starts. Active runs go on."""


class WaveMember(Reported):
    """One FineTuneSchedule in a wave."""

    namespace: str
    """Its namespace."""
    name: str
    """Its name."""
    state: WaveState
    """How far it is."""
    message: str = ""
    """Why it was skipped, or what failed."""
    cost: str = "0"
    """What its runs have cost so far."""


class Wave(Reported):
    """One wave, from its start to the end of its last run."""

    id: str
    """Name of this object and time of the start."""
    start_time: Time
    """When it began."""
    completion_time: Time | None = None
    """When its last run was over."""
    total: int = 0
    """FineTuneSchedules in it."""
    done: int = 0
    """Those whose runs are over and did not fail."""
    running: int = 0
    """Those that hold a place now: asked to start, or with runs that are active."""
    failed: int = 0
    """Those of which a run failed."""
    skipped: int = 0
    """Those that did not start."""
    members: tuple[WaveMember, ...] = ()
    """Every one of them, in their order."""


def asker(wave: str) -> str:
    """Name of the ClusterFineTuneSchedule whose wave has this ID."""
    return wave.rpartition("/")[0]


class ClusterFineTuneScheduleStatus(Reported):
    """What waves did and will do."""

    observed_generation: int | None = None
    """metadata.generation of the spec that this status is about."""
    message: str = ""
    """What goes on, such as `12 of 40 done, 3 running, 1 failed`."""
    conditions: tuple[Condition, ...] = ()
    """Ready, Reconciling, Stalled."""
    cron: CronSeen | None = None
    """How far the cron has been followed."""
    last_wave_time: Time | None = None
    """When the last wave began."""
    next_wave_time: Time | None = None
    """When the next one begins."""
    last_trigger: LastTrigger | None = None
    """What started the last wave, and why."""
    skipped: tuple[Skipped, ...] = ()
    """Waves that did not take place, the newest first; five are kept."""
    wave: Wave | None = None
    """The wave under way, or the last one."""
    spend: Spend | None = None
    """What its waves spent this month."""
    handled_trigger: str | None = None
    """Value of the annotation attune.dev/trigger that was acted on and is about to be removed."""

    def dump(self) -> dict[str, Any]:
        """The status as JSON for the API server; what has no value is left out."""
        return self.model_dump(mode="json", exclude_none=True)


class ClusterFineTuneSchedule(Reported):
    """A ClusterFineTuneSchedule as stored."""

    metadata: ObjectMeta
    spec: ClusterFineTuneScheduleSpec
    status: ClusterFineTuneScheduleStatus = ClusterFineTuneScheduleStatus()

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> "tuple[ClusterFineTuneSchedule, tuple[FieldProblem, ...]]":
        """Reads one as the API server gives it; where anything is wrong, `spec` must not be used."""
        table = schedule_rules.CLUSTERFINETUNESCHEDULE
        found = read(raw, ClusterFineTuneScheduleSpec, ClusterFineTuneScheduleStatus, table)
        made = cls.model_construct(metadata=found.metadata, spec=found.spec, status=found.status)
        return made, found.problems

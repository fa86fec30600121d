"""What was seen of one wave at one moment: everything that the pure rooms may judge by."""

import math
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from attune_operator.api.clusterfinetuneschedule import ClusterFineTuneSchedule
from attune_operator.api.enums import WaveState
from attune_operator.api.finetuneschedule import FineTuneSchedule, RunRecord, WaveRequest
from attune_operator.api.problems import FieldProblem
from attune_operator.api.schedules import JobTemplate


@dataclass(frozen=True, order=True)
class Name:
    """A FineTuneSchedule."""

    namespace: str
    name: str


@dataclass(frozen=True)
class Candidate:
    """A FineTuneSchedule that is selected, with what its place in the order follows from."""

    name: Name
    promoted_at: str = ""
    """When its champion was promoted; empty where it has none."""
    drift: float = 0.0
    """How far its model's world has moved, as its monitor said last."""
    takes: Decimal = Decimal(0)
    """What its runs may take at a start, as far as it says."""


@dataclass(frozen=True)
class MemberView:
    """A FineTuneSchedule of the wave."""

    request: WaveRequest | None
    """What it was asked for last, by whatever wave."""
    cost: Decimal = Decimal(0)
    """What its runs of that request have cost so far."""
    currency: str = ""
    expected: Decimal = Decimal(0)
    """What they will have cost, as far as it is known."""
    takes: Decimal = Decimal(0)
    """What its runs may take at a start, as far as it says."""
    unreadable: str = ""
    """What of its status cannot be read, in words: then nobody writes it, and `request` may be another."""


@dataclass(frozen=True)
class Snapshot:
    """One ClusterFineTuneSchedule as seen at `now`."""

    schedule: ClusterFineTuneSchedule
    now: datetime
    problems: tuple[FieldProblem, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    """What is selected now; read where a wave may begin."""
    members: dict[Name, MemberView] = field(default_factory=dict)
    """Members of the wave under way that are there, as far as `places.watched` asks for them."""


def member_view(schedule: FineTuneSchedule, *, usable: bool = True, unreadable: str = "") -> MemberView:
    """A FineTuneSchedule as a wave sees it; a spec that cannot be used says nothing of what its runs may cost.

    Args:
        schedule: as it was read.
        usable: whether nothing is wrong with its spec, its matrix included.
        unreadable: what of its status cannot be read.
    """
    asked, spend = schedule.status.wave, schedule.status.spend
    takes = most(schedule.spec.job_template) if usable else Decimal(0)
    if asked is None:
        return MemberView(None, takes=takes, unreadable=unreadable)
    limit = _limit(schedule.spec.job_template) if usable else Decimal(0)
    runs = [r for r in schedule.status.runs if r.wave == asked.wave]
    cost = Decimal(asked.cost) + sum((Decimal(r.cost) for r in runs), Decimal(0))
    expected = Decimal(asked.cost) + sum((_expected(r, limit) for r in runs), Decimal(0))
    if asked.state is WaveState.CLAIMED:
        expected += takes
    return MemberView(asked, cost, spend.currency if spend else "", max(cost, expected), takes, unreadable)


def most(template: JobTemplate) -> Decimal:
    """What the runs of a start may cost together, as far as the template says. Counts them without making them."""
    return _limit(template) * math.prod(map(len, template.matrix.values()))


def _limit(template: JobTemplate) -> Decimal:
    """What a run of a template may cost at most, as far as it says."""
    budget = template.spec.budget
    return Decimal(budget.max_cost or 0) if budget else Decimal(0)


def _expected(run: RunRecord, limit: Decimal) -> Decimal:
    """What a run will have cost: by its estimate, or, while there is none, as much as it may."""
    return max(Decimal(run.cost), Decimal(run.expected) or limit)

"""What was seen of one wave at one moment: everything that the pure rooms may judge by."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from attune_operator.api.clusterfinetuneschedule import ClusterFineTuneSchedule
from attune_operator.api.finetuneschedule import FineTuneScheduleStatus, WaveRequest
from attune_operator.api.problems import FieldProblem


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


@dataclass(frozen=True)
class MemberView:
    """A FineTuneSchedule that holds a place in the wave."""

    request: WaveRequest | None
    """What it was asked for last, by whatever wave."""
    cost: Decimal = Decimal(0)
    """What its runs of that request have cost so far."""
    currency: str = ""


@dataclass(frozen=True)
class Snapshot:
    """One ClusterFineTuneSchedule as seen at `now`."""

    schedule: ClusterFineTuneSchedule
    now: datetime
    problems: tuple[FieldProblem, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    """What is selected now; read where no wave is under way."""
    members: dict[Name, MemberView] = field(default_factory=dict)
    """Members of the wave under way that hold a place and are there."""


def member_view(status: FineTuneScheduleStatus) -> MemberView:
    """A FineTuneSchedule's status as a wave sees it."""
    asked = status.wave
    active = sum((Decimal(r.cost) for r in status.runs if asked is not None and r.wave == asked.wave), Decimal(0))
    currency = status.spend.currency if status.spend else ""
    return MemberView(asked, Decimal(asked.cost) + active if asked else Decimal(0), currency)

"""Who of a wave holds a place, what keeps the next ones from taking one, and who takes one now. Pure."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from attune_operator.api.clusterfinetuneschedule import ClusterFineTuneScheduleSpec, Wave, WaveMember
from attune_operator.api.conditions import Reason
from attune_operator.api.enums import WaveState
from attune_operator.api.schedules import Spend
from attune_operator.clusterfinetuneschedule.snapshot import MemberView, Name, Snapshot
from attune_operator.timing.moments import next_month, stamp
from attune_operator.timing.window import is_open, opens

HELD = frozenset({WaveState.CLAIMED, WaveState.RUNNING})
"""States that hold one of the wave's places."""


@dataclass(frozen=True)
class Obstacle:
    """Why no further schedule of a wave may start now."""

    reason: str
    message: str
    until: datetime | None = None
    """When it passes by itself, where that is known."""


def knows(view: MemberView | None, wave: str) -> bool:
    """Whether a schedule was asked by this wave, and by none since."""
    return view is not None and view.request is not None and view.request.wave == wave


def watched(wave: Wave, spec: ClusterFineTuneScheduleSpec) -> tuple[Name, ...]:
    """Schedules that a decision rests on: who holds a place and, where money is counted, who may take the next ones."""
    held = [m for m in wave.members if m.state in HELD]
    return tuple(map(name_of, (*held, *(_next(wave, spec) if spec.budget else ()))))


def name_of(member: WaveMember) -> Name:
    """The schedule that a member is."""
    return Name(member.namespace, member.name)


def closed(seen: Snapshot) -> Obstacle | None:
    """Whether nothing at all may start now, not even the next run of a matrix that is under way."""
    spec = seen.schedule.spec
    if spec.suspend:
        return Obstacle(Reason.SUSPENDED, "spec.suspend is true: nothing starts.")
    if spec.window is None or is_open(spec.window, seen.now):
        return None
    at = opens(spec.window, seen.now)
    return Obstacle(Reason.OUTSIDE_WINDOW, f"Nothing starts until {stamp(at)} (spec.window).", at)


def claimed(wave: Wave, seen: Snapshot, spend: Spend) -> tuple[Wave, Obstacle | None]:
    """The wave with its free places taken, in its order, for as long as the money lasts.

    Returns:
        The wave, and what of the budget keeps the next one from a place.
    """
    held = [m for m in wave.members if m.state in HELD]
    free = seen.schedule.spec.max_concurrent - len(held)
    spent = Decimal(spend.amount) + sum((_held(m, wave.id, seen) for m in held), Decimal(0))
    met, changed = _over(seen, spend, spent), dict[Name, WaveMember]()
    for member in _next(wave, seen.schedule.spec):
        if met is not None or free <= 0:
            break
        name, takes = name_of(member), _takes(name_of(member), seen)
        if told := _never(seen, takes):
            changed[name] = member.model_copy(update={"state": WaveState.SKIPPED, "message": told})
        elif (met := _over(seen, spend, spent, name, takes)) is None:
            changed[name] = member.model_copy(update={"state": WaveState.CLAIMED})
            free, spent = free - 1, spent + takes
    return wave.model_copy(update={"members": tuple(changed.get(name_of(m), m) for m in wave.members)}), met


def _next(wave: Wave, spec: ClusterFineTuneScheduleSpec) -> list[WaveMember]:
    """Those next in the order, as many as there are places."""
    return [m for m in wave.members if m.state is WaveState.PENDING][: spec.max_concurrent]


def _held(member: WaveMember, wave: str, seen: Snapshot) -> Decimal:
    """What a holder of a place has cost, or will have cost; one that was not asked yet may take all that it may."""
    view = seen.members.get(name_of(member))
    if view is None:
        return _takes(name_of(member), seen)
    return max(Decimal(member.cost), view.expected if knows(view, wave) else view.takes)


def _takes(name: Name, seen: Snapshot) -> Decimal:
    """What the runs of a schedule may take at a start."""
    view = seen.members.get(name)
    selected = {c.name: c.takes for c in seen.candidates}
    return view.takes if view is not None else selected.get(name, Decimal(0))


def _never(seen: Snapshot, takes: Decimal) -> str:
    """Why a schedule can start in no month, if so: the others must not wait for it."""
    budget = seen.schedule.spec.budget
    if budget is None or takes <= Decimal(budget.max_cost):
        return ""
    return f"{Reason.BUDGET_REACHED}: its runs may take {takes:f}, and the wave {budget.max_cost} in a month."


def _over(
    seen: Snapshot, spend: Spend, spent: Decimal, name: Name | None = None, takes: Decimal = Decimal(0)
) -> Obstacle | None:
    """Whether the month's money is spent, or does not suffice for what a schedule may take."""
    budget = seen.schedule.spec.budget
    if budget is None or (spent < Decimal(budget.max_cost) and spent + takes <= Decimal(budget.max_cost)):
        return None
    at = next_month(seen.now)
    told = (
        f"{spent:.2f} of {Decimal(budget.max_cost):.2f} {spend.currency}".rstrip() + " is spent this month, or will be"
    )
    if name is None or spent >= Decimal(budget.max_cost):
        return Obstacle(Reason.BUDGET_REACHED, f"{told}; it goes on with {stamp(at)}.", at)
    wanted = f"{name.namespace}/{name.name} may take {takes:f}"
    message = f"{told}, and {wanted}; it goes on when others take less than they may, or with {stamp(at)}."
    return Obstacle(Reason.BUDGET_REACHED, message, at)

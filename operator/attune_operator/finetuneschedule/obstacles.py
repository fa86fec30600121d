"""What stands in the way of a start: pause, breaker, budget, active runs, cooldown. Pure."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from attune_operator.api.conditions import Reason
from attune_operator.api.enums import ConcurrencyPolicy, Trigger
from attune_operator.api.schedules import Skipped
from attune_operator.finetuneschedule import matrix
from attune_operator.finetuneschedule.records import Record
from attune_operator.finetuneschedule.snapshot import RunView, Snapshot
from attune_operator.finetuneschedule.wishes import Wish
from attune_operator.naming import TRIGGER_ANNOTATION
from attune_operator.timing.moments import length, moment, next_month, stamp


@dataclass(frozen=True)
class Obstacle:
    """Why nothing can start now."""

    reason: str
    message: str
    until: datetime | None = None
    """When it passes by itself, where that is known."""


@dataclass(frozen=True)
class Told:
    """What a look at all triggers came to."""

    fired: Wish | None = None
    skipped: tuple[Skipped, ...] = ()
    waits: tuple[tuple[Wish, Obstacle], ...] = ()
    """Lasting wishes that something stands in the way of."""
    wave: Obstacle | None = None
    """What the wave's wish met."""


def obstacle(seen: Snapshot, record: Record, wish: Wish) -> Obstacle | None:
    """What stands in the way of a start; of several things, the one that a person would mend first."""
    spec, by_hand = seen.schedule.spec, wish.trigger is Trigger.MANUAL
    if spec.suspend:
        return Obstacle(Reason.SUSPENDED, "spec.suspend is true.")
    if record.failures >= spec.breaker.failures and not by_hand:
        return Obstacle(Reason.BREAKER_OPEN, open_breaker(record))
    if over := over_budget(seen, record):
        return over
    if record.runs and spec.concurrency_policy is ConcurrencyPolicy.FORBID:
        return Obstacle(Reason.RUN_ACTIVE, f"{named(record)} not over (concurrencyPolicy Forbid).")
    return None if by_hand else _cooling(seen)


def named(record: Record) -> str:
    """Runs that are not over, as the beginning of a sentence."""
    first = record.runs[0].name
    return f"Run {first} is" if len(record.runs) == 1 else f"Run {first} and {len(record.runs) - 1} more are"


def open_breaker(record: Record) -> str:
    """That too many runs failed, and what helps."""
    return (
        f"{record.failures} runs in a row failed. Mend spec.jobTemplate, or try again with the annotation "
        f"{TRIGGER_ANNOTATION}=now."
    )


def over_budget(seen: Snapshot, record: Record, *, more: bool = True) -> Obstacle | None:
    """Whether the month's money is spent; what is under way may still cost, and what starts at most, is spent already.

    Args:
        seen: the schedule.
        record: its runs.
        more: whether all runs of another start must fit in; else the next one of those that wait.
    """
    spec = seen.schedule.spec
    if spec.budget is None:
        return None
    limit, currency = Decimal(spec.budget.max_cost), record.spend.currency
    each = Decimal((spec.job_template.spec.budget.max_cost if spec.job_template.spec.budget else None) or 0)
    spent = Decimal(record.spend.amount) + _held(seen, record, each, more=more)
    new = each * (len(matrix.combinations(spec.job_template)) if more else 1)
    if spent < limit and spent + new <= limit:
        return None
    opens = next_month(seen.now)
    wanted = f", and new runs may take {new:f}" if new and spent < limit else ""
    told = f"{spent:.2f} of {limit:.2f} {currency}".rstrip()
    message = f"{told} is spent this month{wanted}; it goes on with {stamp(opens)}."
    return Obstacle(Reason.BUDGET_REACHED, message, opens)


def _held(seen: Snapshot, record: Record, each: Decimal, *, more: bool) -> Decimal:
    """What runs under way have cost or may cost yet: by their estimates, or, where there is none, as much as they may.

    Another start replaces them under Replace, and keeps company with those that wait under Allow.
    """
    if more and seen.schedule.spec.concurrency_policy is ConcurrencyPolicy.REPLACE:
        return sum((Decimal(r.cost) for r in record.active), Decimal(0))
    by_name = {v.name: v for v in seen.runs}
    active = sum((max(Decimal(r.cost), _expected(by_name.get(r.name), each)) for r in record.active), Decimal(0))
    return active + each * len(record.waiting) if more else active


def _expected(view: RunView | None, each: Decimal) -> Decimal:
    return (view.expected if view else Decimal(0)) or each


def _cooling(seen: Snapshot) -> Obstacle | None:
    last, cooldown = seen.schedule.status.last_run_time, seen.schedule.spec.cooldown
    if last is None or cooldown is None:
        return None
    until = moment(last) + length(cooldown)
    if seen.now >= until:
        return None
    return Obstacle(Reason.COOLING_DOWN, f"Runs started at {last}; the next may at {stamp(until)} (cooldown).", until)

"""The record of runs brought up to what the cluster shows: what is over is counted once, and forgotten. Pure."""

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from attune_operator.api.enums import WaveState
from attune_operator.api.finetuneschedule import FineTuneScheduleStatus, RunRecord, WaveRequest
from attune_operator.api.schedules import Spend
from attune_operator.finetuneschedule.snapshot import RunView
from attune_operator.timing.moments import month

_CENT = Decimal("0.01")


@dataclass(frozen=True)
class Record:
    """What the status remembers, brought up to date.

    One write of the status takes it all over, so nothing is counted twice, whoever else is at work.
    """

    runs: tuple[RunRecord, ...]
    failures: int
    spend: Spend
    wave: WaveRequest | None

    @property
    def active(self) -> tuple[RunRecord, ...]:
        """Runs that were created and are not over."""
        return tuple(r for r in self.runs if r.created)

    @property
    def waiting(self) -> tuple[RunRecord, ...]:
        """Runs whose turn has not come."""
        return tuple(r for r in self.runs if not r.created)


def settle(status: FineTuneScheduleStatus, views: tuple[RunView, ...], now: datetime) -> Record:
    """The record after a look at the cluster.

    Args:
        status: as it was read.
        views: runs of this schedule that are there.
        now: the moment.
    """
    by_name = {v.name: v for v in views}
    record = Record((), status.failures_in_a_row, spend_of(status.spend, now), status.wave)
    for run in status.runs:
        record = _with(record, run, by_name.get(run.name))
    return _wave_over(record)


def _with(record: Record, run: RunRecord, view: RunView | None) -> Record:
    if run.created and (view is None or view.over):
        return _over(record, run, view)
    if view is None:
        return _plus(record, run)
    costs = {"cost": money(view.cost), "expected": money(view.expected)}
    return _plus(record, run.model_copy(update={**costs, "created": True}))


def _plus(record: Record, run: RunRecord) -> Record:
    return Record((*record.runs, run), record.failures, record.spend, record.wave)


def _over(record: Record, run: RunRecord, view: RunView | None) -> Record:
    """A run that is over; one that somebody deleted neither failed nor succeeded, but it cost what it cost."""
    cost = view.cost if view else Decimal(run.cost)
    failed, succeeded = view is not None and not view.succeeded, view is not None and view.succeeded
    failures = 0 if succeeded else record.failures + failed
    spend = plus(record.spend, cost, view.currency if view else "")
    wave = record.wave
    if wave is not None and run.wave == wave.wave:
        told = f"{run.name}: {view.message}" if view is not None and failed else wave.message
        update = {"cost": money(Decimal(wave.cost) + cost), "failed": wave.failed + failed, "message": told}
        wave = wave.model_copy(update=update)
    return Record(record.runs, failures, spend, wave)


def _wave_over(record: Record) -> Record:
    """A wave's request is answered once no run of it is left."""
    wave = record.wave
    if wave is None or wave.state is not WaveState.RUNNING or any(r.wave == wave.wave for r in record.runs):
        return record
    state = WaveState.FAILED if wave.failed else WaveState.DONE
    update = {"state": state, "message": wave.message if wave.failed else ""}
    return Record(record.runs, record.failures, record.spend, wave.model_copy(update=update))


def spend_of(before: Spend | None, now: datetime) -> Spend:
    """The spend of this month; a new month begins with nothing."""
    current = month(now)
    return before if before is not None and before.month == current else Spend(month=current)


def plus(spend: Spend, cost: Decimal, currency: str) -> Spend:
    """A month's spend with a run's cost."""
    amount = money(Decimal(spend.amount) + cost)
    return spend.model_copy(update={"amount": amount, "currency": currency or spend.currency})


def money(amount: Decimal) -> str:
    """An amount to the cent."""
    return str(amount.quantize(_CENT, ROUND_HALF_UP))

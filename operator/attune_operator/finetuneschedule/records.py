"""The record of runs brought up to what the cluster shows: what is over is counted once, and forgotten. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from attune_operator.api.enums import WaveState
from attune_operator.api.finetuneschedule import FineTuneScheduleStatus, RunRecord, WaveRequest
from attune_operator.api.schedules import Spend
from attune_operator.finetuneschedule.snapshot import RunView
from attune_operator.timing.moments import month, stamp

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
    ended: str | None = None
    """RFC 3339: when a run was over last."""

    @property
    def active(self) -> tuple[RunRecord, ...]:
        """Runs that were created and are not over."""
        return tuple(r for r in self.runs if r.created)

    @property
    def waiting(self) -> tuple[RunRecord, ...]:
        """Runs whose turn has not come."""
        return tuple(r for r in self.runs if not r.created)

    def paused(self, run: RunRecord) -> bool:
        """Whether the wave that asked for a run is held up."""
        return self.wave is not None and self.wave.paused and run.wave == self.wave.wave


def settle(status: FineTuneScheduleStatus, views: tuple[RunView, ...], now: datetime) -> Record:
    """The record after a look at the cluster.

    Args:
        status: as it was read.
        views: runs of this schedule that are there.
        now: the moment.
    """
    by_name = {v.name: v for v in views}
    record = Record((), status.failures_in_a_row, spend_of(status.spend, now), status.wave, status.last_end_time)
    for run in status.runs:
        record = _with(record, run, by_name.get(run.name), now)
    return _wave_over(record)


def without(record: Record, gone: Collection[RunRecord], why: str) -> Record:
    """The record without runs that come to nothing; what they cost is spent, and the wave that asked for them learns.

    Args:
        record: as it is.
        gone: runs of it that were replaced, or will not be started.
        why: for the wave.
    """
    spend, names = record.spend, {r.name for r in gone}
    for run in gone:
        spend = plus(spend, Decimal(run.cost), "")
    left = tuple(r for r in record.runs if r.name not in names)
    return _wave_over(replace(record, runs=left, spend=spend, wave=_short_of(record.wave, gone, why)))


def _short_of(wave: WaveRequest | None, gone: Collection[RunRecord], why: str) -> WaveRequest | None:
    mine = [r for r in gone if wave is not None and r.wave == wave.wave]
    if wave is None or wave.state is not WaveState.RUNNING or not mine:
        return wave
    cost = sum((Decimal(r.cost) for r in mine), Decimal(wave.cost))
    return wave.model_copy(update={"cost": money(cost), "failed": wave.failed + len(mine), "message": why})


def _with(record: Record, run: RunRecord, view: RunView | None, now: datetime) -> Record:
    if run.created and (view is None or view.over):
        return _over(record, run, view, now)
    if view is None:
        return _plus(record, run)
    costs = {"cost": money(view.cost), "expected": money(view.expected)}
    return _plus(record, run.model_copy(update={**costs, "created": True}))


def _plus(record: Record, run: RunRecord) -> Record:
    return replace(record, runs=(*record.runs, run))


def _over(record: Record, run: RunRecord, view: RunView | None, now: datetime) -> Record:
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
    ended = max((view.ended if view else "") or stamp(now), record.ended or "")
    return replace(record, failures=failures, spend=spend, wave=wave, ended=ended)


def _wave_over(record: Record) -> Record:
    """A wave's request is answered once no run of it is left."""
    wave = record.wave
    if wave is None or wave.state is not WaveState.RUNNING or any(r.wave == wave.wave for r in record.runs):
        return record
    state = WaveState.FAILED if wave.failed else WaveState.DONE
    update = {"state": state, "message": wave.message if wave.failed else ""}
    return replace(record, wave=wave.model_copy(update=update))


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

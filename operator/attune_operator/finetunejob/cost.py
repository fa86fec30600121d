"""What a run has cost so far, from its recorded attempts and the runtime's prices. Pure."""

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from attune_contract.enums import Stage
from attune_contract.quantities import quantity
from attune_operator.api.enums import AttemptState
from attune_operator.api.finetunejob import Attempt, Cost, FineTuneJob
from attune_operator.api.tuningruntime import TuningRuntime
from attune_operator.finetunejob.shapes import shape
from attune_operator.settings import Settings

_HOUR = Decimal(3600)
_CENT = Decimal("0.01")


def cost(
    run: FineTuneJob, runtime: TuningRuntime, attempts: tuple[Attempt, ...], now: datetime, settings: Settings
) -> Cost:
    """Hours held times price: every attempt counts, failed ones too, for a GPU that idles costs the same.

    Args:
        run: the run.
        runtime: its runtime, for prices per GPU hour and per CPU hour.
        attempts: the record.
        now: end of attempts that are still open.
        settings: sizes of the CPU stages.
    """
    gpu_hours, cpu_hours = _hours(run, attempts, _whole_minutes(now), settings)
    price = runtime.spec.price
    amount = gpu_hours * Decimal(price.per_gpu_hour) + cpu_hours * Decimal(price.per_cpu_hour)
    return Cost(
        gpu_hours=str(gpu_hours.quantize(_CENT, ROUND_HALF_UP)),
        amount=str(amount.quantize(_CENT, ROUND_HALF_UP)),
        currency=price.currency,
    )


def spent(
    run: FineTuneJob, runtime: TuningRuntime, attempts: tuple[Attempt, ...], now: datetime, settings: Settings
) -> Decimal:
    """Money spent so far, to the second."""
    gpu_hours, cpu_hours = _hours(run, attempts, now, settings)
    price = runtime.spec.price
    return gpu_hours * Decimal(price.per_gpu_hour) + cpu_hours * Decimal(price.per_cpu_hour)


def price_of_an_hour(run: FineTuneJob, runtime: TuningRuntime, stage: Stage, settings: Settings) -> Decimal:
    """What all pods of a stage cost in an hour."""
    size, price = shape(run, stage, settings), runtime.spec.price
    cores = quantity(size.cpu) * Decimal(price.per_cpu_hour)
    return size.pods * (size.gpus * Decimal(price.per_gpu_hour) + cores)


def amount(seconds: float, an_hour: Decimal) -> str:
    """What so many seconds cost, to the cent."""
    return str((Decimal(seconds) / _HOUR * an_hour).quantize(_CENT, ROUND_HALF_UP))


def held_seconds(attempt: Attempt, now: datetime) -> Decimal:
    """Seconds that the pods of an attempt have been on nodes; until `now` where it is open."""
    begun = attempt.held_since
    if begun is None and (
        attempt.exit_code is not None or attempt.state in (AttemptState.SUCCEEDED, AttemptState.RUNNING)
    ):
        begun = attempt.start_time  # recorded by an operator that did not note the other
    if begun is None:
        return Decimal(0)
    end = datetime.fromisoformat(attempt.end_time) if attempt.end_time else now
    return Decimal(max(0, int((end - datetime.fromisoformat(begun)).total_seconds())))


def _hours(
    run: FineTuneJob, attempts: tuple[Attempt, ...], now: datetime, settings: Settings
) -> tuple[Decimal, Decimal]:
    """GPU hours and CPU hours held."""
    gpu_hours = cpu_hours = Decimal(0)
    for attempt in attempts:
        size = shape(run, attempt.stage, settings)
        hours = held_seconds(attempt, now) / _HOUR
        gpu_hours += hours * size.pods * size.gpus
        cpu_hours += hours * size.pods * quantity(size.cpu)
    return gpu_hours, cpu_hours


def _whole_minutes(now: datetime) -> datetime:
    """A status that changed with every look would be written, and so looked at, for ever."""
    return now.replace(second=0, microsecond=0)

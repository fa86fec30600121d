"""What Prometheus sees of schedules, waves and TunedModels, on `/metrics`; a plot over time is its own business."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from prometheus_client import CollectorRegistry, Gauge

from attune_operator.api.clusterfinetuneschedule import ClusterFineTuneScheduleStatus
from attune_operator.api.conditions import ConditionType
from attune_operator.api.finetuneschedule import FineTuneScheduleStatus
from attune_operator.api.meta import Condition
from attune_operator.api.tunedmodel import TunedModelStatus
from attune_operator.workqueue import Key

Sample = tuple[Gauge, tuple[str, ...], float]
_OBJECT = ["namespace", "name"]


class RetrainingMetrics:
    """Figures of objects, by namespace and name; those of an object that is gone go with it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"attune_{name}", text, [*_OBJECT, *labels], registry=registry)

        self._champion = gauge("tunedmodel_champion", "Version that is champion; 0 where there is none.")
        self._drifted = gauge("tunedmodel_drifted", "Whether the last look found drift.")
        self._score = gauge("tunedmodel_input_drift_score", "How well recent inputs can be told from training's (AUC).")
        self._bar = gauge("tunedmodel_input_drift_threshold", "Above it the inputs have moved.")
        self._psi = gauge("tunedmodel_label_psi", "Population stability index of the labels.")
        self._metric = gauge("tunedmodel_metric", "The champion's figures.", "metric", "when")
        self._looked = gauge("tunedmodel_last_look_timestamp_seconds", "Time that the last look was for.")
        self._active = gauge("finetuneschedule_active_runs", "Runs that are created and not over.")
        self._failures = gauge("finetuneschedule_failures_in_a_row", "Runs that failed since one succeeded.")
        self._spent = gauge("finetuneschedule_month_spend", "Money spent in this calendar month.", "currency")
        self._stalled = gauge("finetuneschedule_stalled", "Whether a person must act.")
        self._wave = gauge("wave_members", "FineTuneSchedules of the wave, by state.", "state")
        self._samples: dict[tuple[str, Key], set[tuple[Gauge, tuple[str, ...]]]] = {}

    def model(self, key: Key, status: TunedModelStatus | None) -> None:
        """Notes a TunedModel as it stands; None: it is gone."""
        self._set("model", key, self._of_model(status) if status else iter(()))

    def schedule(self, key: Key, status: FineTuneScheduleStatus | None) -> None:
        """Notes a FineTuneSchedule as it stands; None: it is gone."""
        self._set("schedule", key, self._of_schedule(status) if status else iter(()))

    def wave(self, key: Key, status: ClusterFineTuneScheduleStatus | None) -> None:
        """Notes a ClusterFineTuneSchedule as it stands; None: it is gone."""
        wave = status.wave if status else None
        states = ("done", "running", "failed", "skipped", "total") if wave else ()
        self._set("wave", key, ((self._wave, (state,), getattr(wave, state)) for state in states))

    def _of_model(self, status: TunedModelStatus) -> Iterator[Sample]:
        yield self._champion, (), status.champion.version if status.champion else 0
        last = status.monitor.history[0] if status.monitor and status.monitor.history else None
        if last is None:
            return
        yield self._drifted, (), last.drifted
        yield self._looked, (), datetime.fromisoformat(last.at).timestamp()
        found = ((self._score, last.score), (self._bar, last.score_threshold), (self._psi, last.psi))
        yield from ((gauge, (), value) for gauge, value in found if value is not None)
        for metric in last.metrics:
            yield self._metric, (metric.metric, "promotion"), metric.before
            yield self._metric, (metric.metric, "now"), metric.now

    def _of_schedule(self, status: FineTuneScheduleStatus) -> Iterator[Sample]:
        yield self._active, (), sum(r.created for r in status.runs)
        yield self._failures, (), status.failures_in_a_row
        yield self._stalled, (), _holds(status.conditions, ConditionType.STALLED)
        if status.spend is not None and status.spend.currency:
            yield self._spent, (status.spend.currency,), float(Decimal(status.spend.amount))

    def _set(self, kind: str, key: Key, samples: Iterator[Sample]) -> None:
        """Sets what there is, and removes what there was and is no more."""
        there: set[tuple[Gauge, tuple[str, ...]]] = set()
        for gauge, more, value in samples:
            gauge.labels(*key, *more).set(float(value))
            there.add((gauge, more))
        for gauge, more in self._samples.pop((kind, key), set()) - there:
            gauge.remove(*key, *more)
        if there:
            self._samples[kind, key] = there


def _holds(conditions: tuple[Condition, ...], kind: ConditionType) -> bool:
    return any(c.type == kind and c.status == "True" for c in conditions)

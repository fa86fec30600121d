"""Figures of schedules, waves and TunedModels: there while the object is, gone with it."""

from prometheus_client import CollectorRegistry

from attune_operator.api.clusterfinetuneschedule import ClusterFineTuneScheduleStatus, Wave
from attune_operator.api.schedules import Spend
from attune_operator.api.tunedmodel import Current, LookEntry, MonitorStatus, Moved, TunedModelStatus
from attune_operator.retraining_metrics import RetrainingMetrics
from attune_operator.workqueue import Key
from retraining import HOURLY, Scheduler, at

KEY = Key("team-a", "router")
LABELS = {"namespace": "team-a", "name": "router"}


def test_what_a_look_found_is_shown_and_goes_with_the_object() -> None:
    registry = CollectorRegistry()
    metrics = RetrainingMetrics(registry)
    moved = Moved(metric="Accuracy", before=0.9, now=0.8, drop=0.1, dropped=True)
    entry = LookEntry(
        at="2026-01-01T00:00:00Z", version=1, drifted=True, score=0.8, score_threshold=0.6, psi=0.3, metrics=(moved,)
    )
    current = Current(version=3, run="r", model_uri="s3://m", since="2026-01-01T00:00:00Z")
    status = TunedModelStatus(champion=current, monitor=MonitorStatus(history=(entry,)))
    metrics.model(KEY, status)
    assert registry.get_sample_value("attune_tunedmodel_champion", LABELS) == 3
    assert registry.get_sample_value("attune_tunedmodel_drifted", LABELS) == 1
    assert registry.get_sample_value("attune_tunedmodel_label_psi", LABELS) == 0.3
    figures = {
        when: registry.get_sample_value("attune_tunedmodel_metric", {**LABELS, "metric": "Accuracy", "when": when})
        for when in ("promotion", "now")
    }
    assert figures == {"promotion": 0.9, "now": 0.8}
    metrics.model(KEY, status.model_copy(update={"monitor": None}))
    assert registry.get_sample_value("attune_tunedmodel_drifted", LABELS) is None
    metrics.model(KEY, None)
    assert registry.get_sample_value("attune_tunedmodel_champion", LABELS) is None


def test_a_schedule_shows_its_runs_and_its_money() -> None:
    registry = CollectorRegistry()
    metrics, weekly = RetrainingMetrics(registry), Scheduler(triggers=HOURLY)
    weekly.step(at(hours=1))
    spend = Spend(month="2026-01", amount="4.50", currency="EUR")
    metrics.schedule(KEY, weekly.status.model_copy(update={"spend": spend}))
    assert registry.get_sample_value("attune_finetuneschedule_active_runs", LABELS) == 1
    assert registry.get_sample_value("attune_finetuneschedule_month_spend", {**LABELS, "currency": "EUR"}) == 4.5
    assert registry.get_sample_value("attune_finetuneschedule_stalled", LABELS) == 0


def test_a_wave_shows_its_progress() -> None:
    registry = CollectorRegistry()
    metrics = RetrainingMetrics(registry)
    wave = Wave(id="w/1", start_time="2026-01-01T00:00:00Z", total=40, done=12, running=3, failed=1)
    metrics.wave(Key("", "w"), ClusterFineTuneScheduleStatus(wave=wave))
    told = {"namespace": "", "name": "w"}
    assert registry.get_sample_value("attune_wave_members", {**told, "state": "done"}) == 12
    assert registry.get_sample_value("attune_wave_members", {**told, "state": "total"}) == 40

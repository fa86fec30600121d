import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from attune_operator.api.finetunejob import FineTuneJobStatus
from attune_operator.health import Heartbeat, application
from attune_operator.metrics import Metrics
from attune_operator.settings import SettingsError, load
from attune_operator.workqueue import Key

KEY = Key("ns", "a")


@pytest.mark.parametrize(
    ("age", "status"), [(0, 200), (179, 200), (181, 503)], ids=["fresh", "late but not dead", "three resyncs missed"]
)
async def test_liveness_fails_when_the_resync_is_stale(age: float, status: int) -> None:
    now = 0.0
    heartbeat = Heartbeat(60, lambda: now)
    now = age
    async with TestClient(TestServer(application(heartbeat, CollectorRegistry()))) as client:
        answer = await client.get("/healthz")
        assert answer.status == status
        heartbeat.beat()
        assert (await client.get("/healthz")).status == 200


async def test_metrics_count_runs_by_phase_as_they_move_end_and_go() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.record(KEY, FineTuneJobStatus.model_validate({"phase": "Training"}))
    ended = {"phase": "Succeeded", "completionTime": "2026-01-01T00:00:00Z"}
    metrics.record(KEY, FineTuneJobStatus.model_validate(ended))
    metrics.request("POST", "jobs")
    async with TestClient(TestServer(application(Heartbeat(60, lambda: 0.0), registry))) as client:
        text = await (await client.get("/metrics")).text()
    assert 'attune_finetunejobs{phase="Training"} 0.0' in text
    assert 'attune_finetunejobs{phase="Succeeded"} 1.0' in text
    assert 'attune_finetunejobs_ended_total{result="Succeeded"} 1.0' in text
    assert 'attune_api_requests_total{resource="jobs",verb="POST"} 1.0' in text
    metrics.forget(KEY)
    assert KEY not in metrics


def test_bad_settings_are_named_all_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        load({"ATTUNE_WORKERS": "0", "ATTUNE_PROGRESS_SECONDS": "1"})
    assert "ATTUNE_WORKERS" in str(error.value)
    assert "ATTUNE_PROGRESS_SECONDS" in str(error.value)


def test_settings_come_from_the_environment() -> None:
    assert load({"ATTUNE_WORKERS": "4", "HOME": "/x"}).workers == 4

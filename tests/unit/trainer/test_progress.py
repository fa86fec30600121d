"""What a running stage answers over HTTP."""

import socket
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest

import trainer_factories as make
from attune_contract.enums import Stage
from attune_contract.progress import Progress
from attune_contract.runconfig import RunConfig
from attune_trainer.progress import Board, metrics, port, serve


def board() -> Board:
    return Board("run-1", Stage.TRAIN, 2, lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - loopback
        return str(answer.read().decode())


def test_progress_and_metrics_are_served() -> None:
    made = board()
    on = serve(made, free_port())
    made.update(step=310, total_steps=540, loss=0.81)
    progress = Progress.model_validate_json(get(f"http://127.0.0.1:{on}/progress"))

    assert (progress.run_id, progress.stage, progress.attempt) == ("run-1", Stage.TRAIN, 2)
    assert (progress.step, progress.percent, progress.updated_at) == (310, 57, "2026-01-02T03:04:05Z")
    assert 'attune_loss{run_id="run-1",stage="Train",attempt="2"} 0.81' in get(f"http://127.0.0.1:{on}/metrics")


def test_another_path_is_not_found() -> None:
    on = serve(board(), free_port())
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(f"http://127.0.0.1:{on}/etc/passwd")


def test_a_port_that_is_taken_costs_nothing_but_the_progress(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        assert serve(board(), taken.getsockname()[1]) is None
    assert "progress is not served" in caplog.text


def test_metrics_leave_out_what_is_not_known() -> None:
    text = metrics(board().read())

    assert "attune_step" in text
    assert "attune_loss" not in text
    assert all(line.startswith(("#", "attune_")) for line in text.splitlines())


@pytest.mark.parametrize(
    ("local", "environment", "expected"),
    [
        pytest.param(True, {}, 0, id="laptop"),
        pytest.param(False, {}, 9400, id="cluster"),
        pytest.param(True, {"ATTUNE_PROGRESS_PORT": "1234"}, 1234, id="as-told"),
        pytest.param(False, {"ATTUNE_PROGRESS_PORT": "0"}, 0, id="none-as-told"),
        pytest.param(False, {"ATTUNE_PROGRESS_PORT": "x"}, 9400, id="nonsense"),
    ],
)
def test_the_port(tmp_path: Path, local: bool, environment: dict[str, str], expected: int) -> None:
    config = RunConfig.model_validate(make.document(tmp_path) | {"local": local})

    assert port(config, environment) == expected

"""The command line: what is read, what is said, and the exit code."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import trainer_factories as make
from attune_contract.enums import OutcomeState, Stage
from attune_contract.outcome import Outcome
from attune_contract.runconfig import RunConfig
from attune_trainer import command, outcomes, stop
from attune_trainer.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    DivergedError,
    OutOfMemoryError,
    SecretNotFoundError,
    StoreUnreachableError,
    blocked,
)


@pytest.fixture(autouse=True)
def _no_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop.Stopper, "listen", lambda *_: None)


def run(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, Outcome]:
    (tmp_path / "run.json").write_text(text)
    monkeypatch.setenv(outcomes.PATH_VARIABLE, str(tmp_path / "outcome"))
    code = command.main(["preflight", "--config", str(tmp_path / "run.json")])
    outcome = Outcome.loads((tmp_path / "outcome").read_text())
    assert outcome is not None
    return code, outcome


def changed(**more: Any) -> str:
    return json.dumps({**make.document(Path("/nowhere")), **more})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("{", ["is not JSON"], id="no-json"),
        pytest.param("[]", ["must be a JSON object"], id="no-object"),
        pytest.param(
            changed(version="v2"), ["understands RunConfig v1alpha1", "'v2'", "different releases"], id="version"
        ),
        pytest.param(changed(version=None), ["None"], id="version-of-another-type"),
        pytest.param("{}", ["run: Field required", "workload: Field required"], id="all-problems-at-once"),
        pytest.param(changed(colour="red"), ["colour: Extra inputs"], id="unknown-field"),
    ],
)
def test_a_bad_run_config_is_bad_configuration(
    tmp_path: Path, text: str, says: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, outcome = run(tmp_path, text, monkeypatch)

    assert (code, outcome.reason, outcome.state) == (11, "InvalidConfiguration", OutcomeState.FAILED)
    for words in says:
        assert words in outcome.message


def test_a_run_config_of_another_version_is_still_reported_for_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = changed(version="v2", run={"id": "abc", "attempt": 4, "colour": "unknown to us"})
    _, outcome = run(tmp_path, text, monkeypatch)

    assert (outcome.run_id, outcome.attempt, outcome.stage) == ("abc", 4, Stage.PREFLIGHT)


def test_a_missing_file_is_named_with_the_way_to_name_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(outcomes, "TERMINATION_LOG", str(tmp_path / "none"))
    code = command.main(["train", "--config", str(tmp_path / "missing.json")])
    printed = json.loads(capsys.readouterr().out)

    assert code == 11
    assert "--config FILE" in printed["message"]


@pytest.mark.parametrize("stage", ["preflight", "train", "evaluate", "publish"])
def test_help_tells_of_every_stage(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        command.main(["--help"])

    assert f"\n  {stage}" in capsys.readouterr().out


def test_the_example_of_the_help_is_a_run_config() -> None:
    assert RunConfig.model_validate_json(command.EXAMPLE).local


def test_an_unknown_stage_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["tune"])

    assert "preflight" in capsys.readouterr().err


class OutOfMemory(Exception):  # noqa: N818 - stands for torch's own, known by its name
    """Named as below."""


OutOfMemory.__name__ = "OutOfMemoryError"


@pytest.mark.parametrize(
    ("error", "code", "state", "reason"),
    [
        pytest.param(SecretNotFoundError("x"), 20, "Blocked", "SecretNotFound", id="secret"),
        pytest.param(StoreUnreachableError("x"), 20, "Failed", "StoreUnreachable", id="store"),
        pytest.param(OutOfMemoryError("x"), 12, "Failed", "OutOfMemory", id="memory"),
        pytest.param(OutOfMemory("CUDA out of memory. Tried"), 12, "Failed", "OutOfMemory", id="torch-memory"),
        pytest.param(MemoryError(), 12, "Failed", "OutOfMemory", id="python-memory"),
        pytest.param(
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            12,
            "Failed",
            "OutOfMemory",
            id="cpu-memory",
        ),
        pytest.param(DivergedError("x"), 13, "Failed", "Diverged", id="diverged"),
        pytest.param(KeyError("oops"), 1, "Failed", "UnexpectedError", id="unforeseen"),
    ],
)
def test_errors_become_outcomes(error: Exception, code: int, state: str, reason: str) -> None:
    outcome, got = outcomes.of_error(error, {"run": {"id": "r", "attempt": 2}}, Stage.TRAIN)

    assert (got, outcome.state.value, outcome.reason) == (code, state, reason)
    assert (outcome.run_id, outcome.attempt) == ("r", 2)


def test_an_unforeseen_fault_says_where(caplog: pytest.LogCaptureFixture) -> None:
    try:
        {}["missing"]
    except KeyError as error:
        outcome, _ = outcomes.of_error(error, {}, Stage.TRAIN)

    assert "KeyError at test_command_line.py:" in outcome.message
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("letter", ["x", "ü", "語", "😀"])
def test_an_outcome_of_any_script_fits_a_termination_message(tmp_path: Path, letter: str) -> None:
    outcome, _ = outcomes.of_error(SecretNotFoundError(letter * 100_000), {}, Stage.TRAIN)
    outcomes.emit(outcome, {outcomes.PATH_VARIABLE: str(tmp_path / "outcome")}, sys.stdout, str)

    assert (tmp_path / "outcome").stat().st_size <= 4096
    assert Outcome.loads((tmp_path / "outcome").read_text()) is not None


def test_several_missing_things_are_one_sentence_each() -> None:
    error = blocked(
        [BucketNotFoundError("no bucket a"), AccessDeniedError("no access b"), AccessDeniedError("no access b")]
    )

    assert isinstance(error, BucketNotFoundError)
    assert str(error) == "no bucket a; no access b"

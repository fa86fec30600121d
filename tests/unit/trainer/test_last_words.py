"""What an attempt says in the end: its log's last lines, its Outcome, said once, and no secret in any of it."""

import hashlib
import io
import logging
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import trainer_factories as make
from attune_contract.enums import OutcomeState, Stage
from attune_contract.outcome import LOG_LINES, MAX_LOG_LINE, Artifact, Outcome
from attune_contract.runconfig import RunConfig
from attune_trainer import logs, outcomes, supervision
from attune_trainer.progress import Board


def with_keys(folder: Path, **keys: bytes) -> RunConfig:
    """A run whose Secret for data has some keys."""
    (folder / "keys").mkdir(exist_ok=True)
    for name, value in keys.items():
        (folder / "keys" / name).write_bytes(value)
    document = make.document(folder)
    document["credentials"] = {"data": {"secret": "s", "field": "f", "directory": str(folder / "keys")}}
    return RunConfig.model_validate(document)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        pytest.param("key wJalrXUtnFEMI12 refused", "key [secret] refused", id="a-mounted-key"),
        pytest.param("the token is opensesame99", "the token is [secret]", id="a-variable"),
        pytest.param(
            "GET /b?X-Amz-Signature=abcdef123&x=1", "GET /b?X-Amz-Signature=[secret]&x=1", id="a-signed-address"
        ),
        pytest.param("Authorization: Bearer abc.def-123456", "Authorization: Bearer [secret]", id="a-header"),
        pytest.param("http://root:pw@store:9000/b", "http://[secret]@store:9000/b", id="an-address-with-a-password"),
        pytest.param("hf_" + "a1" * 17, "[Hugging Face token]", id="what-looks-like-one"),
        pytest.param("step 3 of 10: loss 0.1", "step 3 of 10: loss 0.1", id="nothing-secret"),
    ],
)
def test_secrets_are_masked(tmp_path: Path, line: str, shown: str) -> None:
    config = with_keys(tmp_path, AWS_SECRET_ACCESS_KEY=b"wJalrXUtnFEMI12\n")
    mask = logs.Secrets(config, {"MY_TOKEN": "opensesame99", "HOME": "step 3"})

    assert mask(line) == shown


def test_whose_key_it_is_may_be_said(tmp_path: Path) -> None:
    config = with_keys(tmp_path, AWS_ACCESS_KEY_ID=b"team-one", AWS_SECRET_ACCESS_KEY=b"opensesame")
    line = "s3://team-one-models/base: there is no model"
    assert logs.Secrets(config, {"AWS_ACCESS_KEY_ID": "team-one"})(line) == line


def test_keys_that_were_rotated_are_masked_as_those_before_them(tmp_path: Path) -> None:
    secrets = logs.Secrets(with_keys(tmp_path, AWS_SECRET_ACCESS_KEY=b"first-of-all"), {})
    tail = logs.Tail(secrets.mask)
    tail.add("first-of-all, then second-one")
    with_keys(tmp_path, AWS_SECRET_ACCESS_KEY=b"second-one")

    assert tail.last() == ("[secret], then [secret]",)
    assert tail.text() == "[secret], then [secret]\n"


def test_a_binary_value_in_a_secret_harms_nobody(tmp_path: Path) -> None:
    config = with_keys(tmp_path, **{"ca.p12": b"\x82\xff\x00", "AWS_SECRET_ACCESS_KEY": b"opensesame"})

    assert logs.Secrets(config, {})("said opensesame") == "said [secret]"


def test_an_outcome_names_no_secret_wherever_it_comes_from(tmp_path: Path) -> None:
    outcome = Outcome(
        run_id="r",
        stage=Stage.TRAIN,
        attempt=1,
        state=OutcomeState.FAILED,
        message='Could not connect to "https://root:hunter2@minio/b".',
        warnings=("It was opensesame.",),
    )
    secrets = logs.Secrets(with_keys(tmp_path, AWS_SECRET_ACCESS_KEY=b"opensesame"), {})
    outcomes.emit(outcome, {outcomes.PATH_VARIABLE: str(tmp_path / "outcome")}, io.StringIO(), secrets)
    said = Outcome.loads((tmp_path / "outcome").read_text())

    assert said is not None
    assert said.message == 'Could not connect to "https://[secret]@minio/b".'
    assert said.warnings == ("It was [secret].",)


def test_progress_names_no_secret() -> None:
    board = Board("r", Stage.TRAIN, 1, lambda: datetime(2026, 1, 1, tzinfo=UTC), mask=logs.Mask(["opensesame"]))
    board.warn("It was opensesame.")

    assert board.read().warnings == ("It was [secret].",)


def test_a_shorter_outcome_takes_the_whole_place_of_a_longer_one(tmp_path: Path) -> None:
    file = tmp_path / "outcome"
    file.write_text("x" * 4096)
    outcome = Outcome(run_id="r", stage=Stage.TRAIN, attempt=1, state=OutcomeState.FAILED)
    outcomes.emit(outcome, {outcomes.PATH_VARIABLE: str(file)}, io.StringIO(), str)

    assert file.read_text() == outcome.dumps()


def test_how_an_attempt_ended_is_said_once(tmp_path: Path) -> None:
    """The thread that watches and the one that hears signals may both come to it; each leaves with the same code."""
    supervisor: Any = supervision._Supervisor.__new__(supervision._Supervisor)
    supervisor._saying, supervisor._said, supervisor._secrets = threading.Lock(), None, str
    supervisor._environment = {outcomes.PATH_VARIABLE: str(tmp_path / "outcome")}
    stopped = Outcome(
        run_id="r", stage=Stage.TRAIN, attempt=1, state=OutcomeState.STOPPED, message="With a checkpoint."
    )
    late = stopped.model_copy(update={"message": "Without one."})

    assert [supervisor._say(30, stopped), supervisor._say(143, late)] == [30, 30]
    assert (tmp_path / "outcome").read_text() == stopped.dumps()


def test_an_outcome_brings_the_last_lines_without_what_torchrun_adds() -> None:
    tail = logs.Tail(lambda: logs.Mask(()))
    for number in range(30):
        tail.add(f"line {number}\n")
    tail.add("x" * 1000)
    tail.add("E1121 16:23:24.123000 77 torch/distributed/elastic/multiprocessing/api.py:869] failed (exitcode: 1)")
    tail.add("Traceback (most recent call last):")

    assert tail.last() == (*(f"line {n}" for n in range(30 - LOG_LINES + 1, 30)), "x" * MAX_LOG_LINE)
    assert "Traceback" in tail.text()


def test_what_is_logged_is_kept_line_by_line() -> None:
    tail = logs.Tail(lambda: logs.Mask(["open sesame"]))
    logs.Handler(tail).handle(logging.makeLogRecord({"msg": "first open sesame\nsecond"}))

    assert tail.last() == ("first [secret]", "second")


def test_an_outcome_that_is_too_long_loses_the_oldest_lines_first() -> None:
    lines = tuple(f"{n} {hashlib.sha512(str(n).encode()).hexdigest()}" for n in range(60))
    outcome = Outcome(
        run_id="r",
        stage=Stage.TRAIN,
        attempt=1,
        state=OutcomeState.FAILED,
        message="What happened.",
        checkpoint=Artifact(path="checkpoints/3/", digest="sha256:0", size_bytes=1, stage=Stage.TRAIN),
        log_tail=lines,
    )
    read = Outcome.loads(outcome.dumps())

    assert read is not None
    assert 0 < len(read.log_tail) < len(lines)
    assert read.log_tail == lines[-len(read.log_tail) :]
    assert (read.message, read.checkpoint) == (outcome.message, outcome.checkpoint)

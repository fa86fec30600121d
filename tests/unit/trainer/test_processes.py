"""Real processes: two that train together, one that must stop at once, and which outcome speaks for many."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import trainer_factories as make
from attune_contract.enums import OutcomeState, Stage
from attune_contract.outcome import Outcome
from attune_contract.runconfig import RunConfig
from attune_trainer import launch

GRACE_SECONDS = 30
"""terminationGracePeriodSeconds of a training pod."""
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1", **more}


def command(made: dict[str, Any], folder: Path, stage: str, *before: str) -> list[str]:
    path = folder / "run.json"
    path.write_text(json.dumps(made))
    return [sys.executable, *before, "-m", "attune_trainer", stage, "--config", str(path)]


def prepared(folder: Path, **changes: Any) -> dict[str, Any]:
    make.make_model(folder / "model")
    make.write_jsonl(folder / "data" / "train.jsonl", make.colour_rows())
    made = make.document(folder, **changes)
    make.run_stages(made, [Stage.PREFLIGHT])
    return made


def losses(folder: Path, curve: str = "history") -> list[float]:
    report = json.loads((make.run_folder(folder) / "reports" / "training.json").read_text())
    return [point["loss"] for point in report[curve]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fraction", "watched", "same"),
    [
        pytest.param(0.25, 0.0, True, id="24-rows-in-batches-of-8"),
        pytest.param(0.1, 0.0, False, id="29-rows-that-do-not-divide"),
        pytest.param(0.25, 0.34, True, id="16-rows-watched-with-8"),
        pytest.param(0.22, 0.36, True, id="16-rows-watched-with-9-that-do-not-divide"),
    ],
)
def test_two_processes_train_as_one_does(tmp_path: Path, fraction: float, watched: float, same: bool) -> None:
    changes = {
        "training": {"epochs": 2, "batchSize": 8, "keepBest": watched > 0},
        "tuning": {"type": "Full"},
        "dataset": {"split": {"testFraction": fraction, "validationFraction": watched}},
    }
    make.run_stages(prepared(tmp_path / "alone", **changes), [Stage.TRAIN])
    done = subprocess.run(
        command(prepared(tmp_path / "together", **changes), tmp_path, "train", *TORCHRUN),
        env=environment(ATTUNE_OUTCOME_PATH=str(tmp_path / "outcome")),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    outcome = Outcome.loads((tmp_path / "outcome").read_text())
    assert outcome is not None
    assert outcome.state is OutcomeState.SUCCEEDED
    alone, together = losses(tmp_path / "alone"), losses(tmp_path / "together")
    assert len(together) == len(alone)
    if same:  # rows that fill up the last batch change the drawing of the order
        assert together == pytest.approx(alone, abs=1e-5)
        found = losses(tmp_path / "together", "validation")
        assert len(found) == (4 if watched else 0)
        assert found == pytest.approx(losses(tmp_path / "alone", "validation"), abs=1e-5)


@pytest.mark.slow
def test_a_process_that_fails_ends_the_others_and_speaks_for_all(tmp_path: Path) -> None:
    made = prepared(tmp_path, training={"batchSize": 7})
    made["workload"]["resources"]["gpusPerNode"] = 2  # there are none, or no two: every process refuses
    made["workload"]["training"]["batchSize"] = 7
    done = subprocess.run(
        command(made, tmp_path, "train"),
        env=environment(ATTUNE_OUTCOME_PATH=str(tmp_path / "outcome"), CUDA_VISIBLE_DEVICES=""),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    outcome = Outcome.loads((tmp_path / "outcome").read_text())

    assert outcome is not None
    assert (done.returncode, outcome.reason) == (11, "InvalidConfiguration"), done.stderr[-3000:]
    assert "CUDA" in outcome.message


@pytest.mark.slow
@pytest.mark.parametrize("sort", [[], TORCHRUN], ids=["one-process", "two-processes"])
def test_sigterm_ends_training_at_once_and_leaves_no_checkpoint(tmp_path: Path, sort: list[str]) -> None:
    made = prepared(tmp_path, training={"epochs": None, "maxSteps": 900})
    process = subprocess.Popen(
        command(made, tmp_path, "train", *sort),
        env=environment(ATTUNE_OUTCOME_PATH=str(tmp_path / "outcome")),
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_line(process, "step 3 of")
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=GRACE_SECONDS)  # what is not gone by then, the kubelet kills, and its Outcome with it
    outcome = Outcome.loads((tmp_path / "outcome").read_text())

    assert outcome is not None
    assert (outcome.state, outcome.reason) == (OutcomeState.STOPPED, "Terminated")
    if not sort:
        assert process.returncode == 143
    assert not (make.run_folder(tmp_path) / "checkpoints").exists()


def wait_for_line(process: "subprocess.Popen[str]", words: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"the process ended without saying {words!r}")


def config(folder: Path, **resources: int) -> RunConfig:
    return RunConfig.model_validate(make.document(folder, resources=resources))


@pytest.mark.parametrize(
    ("resources", "stage", "variables", "needed"),
    [
        pytest.param({}, Stage.TRAIN, {}, False, id="one-process"),
        pytest.param({"gpusPerNode": 2}, Stage.TRAIN, {}, True, id="several-gpus"),
        pytest.param({"nodes": 2}, Stage.TRAIN, {}, True, id="several-nodes"),
        pytest.param({"nodes": 2}, Stage.TRAIN, {"RANK": "0"}, False, id="under-a-torchrun-already"),
        pytest.param({"gpusPerNode": 2}, Stage.EVALUATE, {}, False, id="only-training-is-distributed"),
    ],
)
def test_when_processes_are_started(
    tmp_path: Path, resources: dict[str, int], stage: Stage, variables: dict[str, str], needed: bool
) -> None:
    assert launch.is_needed(config(tmp_path, **resources), stage, variables) is needed


def test_the_command_of_a_node_of_a_gang(tmp_path: Path) -> None:
    variables = {"JOB_COMPLETION_INDEX": "1", "MASTER_ADDR": "run-0.run"}
    made = launch.command(config(tmp_path, nodes=2, gpusPerNode=4), tmp_path / "run.json", variables)

    assert made[1:] == [
        "-m",
        "torch.distributed.run",
        "--nnodes=2",
        "--node-rank=1",
        "--master-addr=run-0.run",
        "--master-port=29400",
        "--nproc-per-node=4",
        "-m",
        "attune_trainer",
        "train",
        "--config",
        str(tmp_path / "run.json"),
    ]


def said(state: OutcomeState, reason: str) -> Outcome:
    return Outcome(run_id="r", stage=Stage.TRAIN, attempt=1, state=state, reason=reason)


@pytest.mark.parametrize(
    ("left", "torchrun", "code", "reason"),
    [
        pytest.param([(0, 0, "Completed"), (1, 0, "Other")], 0, 0, "Completed", id="the-first-process-reports"),
        pytest.param([(1, 0, "Other")], 0, 0, None, id="another-node-has-nothing-to-report"),
        pytest.param(
            [(1, 12, "OutOfMemory"), (0, 1, "UnexpectedError")], 1, 12, "OutOfMemory", id="the-earliest-failure"
        ),
        pytest.param([], 1, 1, "ProcessLost", id="nobody-said-a-word"),
        pytest.param([(0, 0, "Completed")], 1, 1, "ProcessLost", id="one-was-killed"),
    ],
)
def test_which_outcome_speaks_for_the_pod(
    tmp_path: Path, left: list[tuple[int, int, str]], torchrun: int, code: int, reason: str | None
) -> None:
    for moment, (rank, ended, words) in enumerate(left):
        state = OutcomeState.FAILED if ended else OutcomeState.SUCCEEDED
        launch.leave(tmp_path, rank, said(state, words), ended)
        os.utime(tmp_path / f"{rank}-{ended}.json", ns=(moment, moment))
    got, outcome = launch.first_failure(tmp_path, torchrun, {"run": {"id": "r", "attempt": 1}})

    assert (got, outcome.reason if outcome else None) == (code, reason)

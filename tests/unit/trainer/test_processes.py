"""Real processes: two that train together, one that must stop at once, and which outcome speaks for many."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import trainer_factories as make
from attune_contract.enums import OutcomeState, Stage, StopReason
from attune_contract.outcome import Outcome
from attune_contract.runconfig import RunConfig
from attune_trainer import launch, logs, supervision

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
    ("fraction", "watched"),
    [
        pytest.param(0.25, 0.0, id="24-rows-in-batches-of-8"),
        pytest.param(0.1, 0.0, id="29-rows-that-do-not-divide"),
        pytest.param(0.25, 0.34, id="16-rows-watched-with-8"),
        pytest.param(0.22, 0.36, id="16-rows-watched-with-9-that-do-not-divide"),
    ],
)
def test_two_processes_train_as_one_does(tmp_path: Path, fraction: float, watched: float) -> None:
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


SORTS = {"one-process": [], "two-processes": TORCHRUN}


@pytest.mark.slow
@pytest.mark.parametrize("sort", SORTS.values(), ids=SORTS)
def test_sigterm_stops_training_with_a_checkpoint_and_another_attempt_goes_on(tmp_path: Path, sort: list[str]) -> None:
    changes = {
        "training": {"epochs": 80, "batchSize": 8, "keepBest": True},
        "dataset": {"split": {"testFraction": 0.25, "validationFraction": 0.34}},
        "tuning": {"type": "LoRA", "rank": 4, "dropout": 0.1},
    }
    whole = prepared(tmp_path / "whole", **changes)
    done = subprocess.run(command(whole, tmp_path, "train", *sort), env=environment(), check=False, timeout=240)
    assert done.returncode == 0
    parts = prepared(tmp_path / "parts", **changes)
    code, stopped = stop_at(command(parts, tmp_path, "train", *sort), tmp_path / "outcome", "step 5 of")

    assert (stopped.state, stopped.reason, stopped.stop_reason) == (OutcomeState.STOPPED, "Stopped", StopReason.SIGNAL)
    assert stopped.checkpoint is not None
    step = int(stopped.checkpoint.path.split("/")[1])
    assert 5 <= step < 160
    assert code == 30 or sort  # torchrun itself knows only 0 and 1
    done = subprocess.run(command(parts, tmp_path, "train", *sort), env=environment(), check=False, timeout=240)
    assert done.returncode == 0
    report = json.loads((make.run_folder(tmp_path / "parts") / "reports" / "training.json").read_text())
    assert report["resumedFromStep"] == step
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), abs=1e-6)
    assert losses(tmp_path / "parts", "validation") == losses(tmp_path / "whole", "validation")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second"),
    [pytest.param(TORCHRUN, [], id="two-then-one"), pytest.param([], TORCHRUN, id="one-then-two")],
)
def test_a_run_goes_on_with_another_number_of_processes(tmp_path: Path, first: list[str], second: list[str]) -> None:
    changes = {
        "training": {"epochs": 10, "batchSize": 8},
        "tuning": {"type": "Full"},
        "dataset": {"split": {"testFraction": 0.1}},  # leaves 29 rows, which do not divide
    }
    make.run_stages(prepared(tmp_path / "whole", **changes), [Stage.TRAIN])
    parts = prepared(tmp_path / "parts", **changes)
    _, stopped = stop_at(command(parts, tmp_path, "train", *first), tmp_path / "outcome", "step 6 of")
    assert stopped.checkpoint is not None
    done = subprocess.run(
        command(parts, tmp_path, "train", *second), env=environment(), stderr=subprocess.PIPE, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads((make.run_folder(tmp_path / "parts") / "reports" / "training.json").read_text())

    assert report["resumedFromStep"] == int(stopped.checkpoint.path.split("/")[1])
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), abs=1e-4)


@pytest.mark.slow
def test_a_spread_model_stops_goes_on_alone_and_is_published_whole(tmp_path: Path) -> None:
    changes = {
        "training": {"epochs": 12, "batchSize": 8, "keepBest": True},
        "tuning": {"type": "Full"},
        "dataset": {"split": {"testFraction": 0.25, "validationFraction": 0.34}},
    }
    make.run_stages(prepared(tmp_path / "whole", **changes), [Stage.TRAIN])
    parts = prepared(tmp_path / "parts", **changes)
    script = str(Path(make.__file__).with_name("spread_on_cpus.py"))
    alone = command(parts, tmp_path, "train")
    spread = [sys.executable, *TORCHRUN, script, *alone[alone.index("train") :]]
    _, stopped = stop_at(spread, tmp_path / "outcome", "step 6 of")
    assert stopped.checkpoint is not None, stopped
    kept = make.run_folder(tmp_path / "parts") / stopped.checkpoint.path
    assert sorted(file.name for file in (kept / "state" / "shards").iterdir()) == ["0.safetensors", "1.safetensors"]
    assert not (kept / "parts").exists() or not list((kept / "parts").iterdir())
    for started in (alone, spread):  # alone to its end; then spread, once more from there
        done = subprocess.run(started, env=environment(), stderr=subprocess.PIPE, check=False, timeout=240)
        assert done.returncode == 0, done.stderr[-3000:]
        report = json.loads((make.run_folder(tmp_path / "parts") / "reports" / "training.json").read_text())
        assert report["resumedFromStep"] == int(stopped.checkpoint.path.split("/")[1])
        assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), abs=1e-4)
        saved = make.run_folder(tmp_path / "parts") / "checkpoints" / str(report["figures"]["steps"])
        assert json.loads((saved / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]
        (saved / "COMPLETE").unlink()
        (make.run_folder(tmp_path / "parts") / "reports" / "training.json").unlink()  # so that the stage is done again


def stop_at(started: list[str], path: Path, words: str) -> tuple[int, Outcome]:
    """Sends SIGTERM once training says some words; its exit code, and what it says in the end."""
    process = subprocess.Popen(
        started, env=environment(ATTUNE_OUTCOME_PATH=str(path)), stderr=subprocess.PIPE, text=True
    )
    wait_for_line(process, words)
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    process.stderr.read()
    code = process.wait(timeout=GRACE_SECONDS)  # what is not gone by then, the kubelet kills, and its Outcome with it
    outcome = Outcome.loads(path.read_text())
    assert outcome is not None
    return code, outcome


@pytest.mark.slow
def test_a_gang_stops_as_one_when_one_of_its_pods_must_go(tmp_path: Path) -> None:
    made = prepared(tmp_path, training={"epochs": None, "maxSteps": 900}, resources={"nodes": 2})
    pods = []
    for node in ("0", "1"):
        variables = {"JOB_COMPLETION_INDEX": node, "MASTER_ADDR": "localhost"}
        path = str(tmp_path / f"outcome-{node}")
        pods.append(
            subprocess.Popen(
                command(made, tmp_path, "train"),
                env=environment(ATTUNE_OUTCOME_PATH=path, **variables),
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    first, second = pods
    wait_for_line(first, "step 5 of")
    second.send_signal(signal.SIGTERM)
    for pod in pods:
        assert pod.stderr is not None
        pod.stderr.read()
    assert [pod.wait(timeout=GRACE_SECONDS) for pod in pods] == [30, 30]
    said = [Outcome.loads((tmp_path / f"outcome-{node}").read_text()) for node in (0, 1)]

    assert all(outcome is not None and outcome.stop_reason is StopReason.SIGNAL for outcome in said)
    assert len({outcome.checkpoint.path for outcome in said if outcome and outcome.checkpoint}) == 1


@pytest.mark.slow
def test_sigterm_before_the_first_step_ends_at_once(tmp_path: Path) -> None:
    made = prepared(tmp_path, training={"epochs": None, "maxSteps": 900})
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        command(made, tmp_path, "train"),
        env=environment(ATTUNE_OUTCOME_PATH=str(tmp_path / "outcome"), TMPDIR=str(scratch)),
    )
    # Its first sign of life comes before it has imported what it trains with: the first step is seconds away.
    deadline = time.monotonic() + GRACE_SECONDS
    while not list(scratch.glob("attune-processes-*/*.beat")):
        assert time.monotonic() < deadline, "no sign of life"
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    code = process.wait(timeout=GRACE_SECONDS / 3)
    outcome = Outcome.loads((tmp_path / "outcome").read_text())

    assert outcome is not None
    assert (code, outcome.state, outcome.reason) == (143, OutcomeState.STOPPED, "Terminated")
    assert not (make.run_folder(tmp_path) / "checkpoints").exists()


def struck(tmp_path: Path, harm: signal.Signals, **variables: str) -> tuple[int, Outcome]:
    """How a training ends whose process gets this signal after its first checkpoint: exit code and Outcome."""
    made = prepared(tmp_path, training={"epochs": None, "maxSteps": 5000})
    made["checkpoint"] = {"intervalSeconds": 1}
    process = subprocess.Popen(
        command(made, tmp_path, "train"),
        env=environment(ATTUNE_OUTCOME_PATH=str(tmp_path / "outcome"), **variables),
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_line(process, "is complete after")
    os.kill(child_of(process.pid), harm)
    assert process.stderr is not None
    process.stderr.read()
    code = process.wait(timeout=60)
    outcome = Outcome.loads((tmp_path / "outcome").read_text())
    assert outcome is not None
    return code, outcome


@pytest.mark.slow
def test_a_process_that_hangs_is_ended_and_says_where_it_stood(tmp_path: Path) -> None:
    code, outcome = struck(tmp_path, signal.SIGSTOP, ATTUNE_STALL_SECONDS="3")

    assert (code, outcome.state, outcome.reason) == (14, OutcomeState.FAILED, "NoProgress"), outcome
    assert re.search(r"no progress for \d s \(step \d+ of 5000\)", outcome.message)
    assert outcome.checkpoint is not None
    assert any("step" in line for line in outcome.log_tail)
    reports = make.run_folder(tmp_path) / "reports" / "attempts"
    stacks = (reports / "train-1.stacks.txt").read_text()
    assert "_inner_training_loop" in stacks
    assert re.findall("^answer [0-9]$", stacks, re.MULTILINE) == ["answer 1", "answer 2", "answer 3"]
    assert "is complete after" in (reports / "train-1.log").read_text()


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_its_checkpoint_and_the_end_of_its_log(tmp_path: Path) -> None:
    code, outcome = struck(tmp_path, signal.SIGKILL)

    assert (code, outcome.reason, outcome.resumed_from_step) == (137, "ProcessLost", 0)
    assert outcome.checkpoint is not None
    assert any("is complete after" in line for line in outcome.log_tail)


def child_of(pid: int) -> int:
    """The one process that a process started which still runs."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def wait_for_line(process: "subprocess.Popen[str]", words: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"the process ended without saying {words!r}")


def config(folder: Path, **resources: int) -> RunConfig:
    return RunConfig.model_validate(make.document(folder, resources=resources))


@pytest.mark.parametrize(
    ("stage", "variables", "needed"),
    [
        pytest.param(Stage.TRAIN, {}, True, id="training"),
        pytest.param(Stage.TRAIN, {"RANK": "0"}, False, id="under-a-torchrun-already"),
        pytest.param(Stage.TRAIN, {launch.FOLDER_VARIABLE: "folder"}, False, id="watched-over-already"),
        pytest.param(Stage.EVALUATE, {}, False, id="only-training-is-watched-over"),
    ],
)
def test_when_processes_are_started(stage: Stage, variables: dict[str, str], needed: bool) -> None:
    assert launch.is_needed(stage, variables) is needed


def test_the_command_of_a_lone_process(tmp_path: Path) -> None:
    made = launch.command(config(tmp_path), tmp_path / "run.json", {})

    assert made[1:] == ["-m", "attune_trainer", "train", "--config", str(tmp_path / "run.json")]


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
        "--rdzv-conf=timeout=3600",
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
    ("left", "code", "reason"),
    [
        pytest.param([(0, 1, "UnexpectedError")], 1, "ProcessLost", id="the-connection-to-one-that-was-killed"),
        pytest.param([(0, 143, "Terminated")], 1, "ProcessLost", id="ended-as-one-was-killed"),
        pytest.param([(0, 13, "Diverged")], 13, "Diverged", id="the-other-was-killed-as-this-failed"),
        pytest.param([(1, 1, "UnexpectedError"), (0, 12, "OutOfMemory")], 12, "OutOfMemory", id="one-knows-why"),
    ],
)
def test_who_is_to_blame_in_a_gang_of_two(
    tmp_path: Path, left: list[tuple[int, int, str]], code: int, reason: str
) -> None:
    for rank, ended, words in left:
        launch.leave(tmp_path, rank, said(OutcomeState.FAILED, words), ended)
    got, outcome = launch.first_failure(tmp_path, 1, {"run": {"id": "r", "attempt": 1}}, expected=2)

    assert outcome is not None
    assert (got, outcome.reason) == (code, reason)


@pytest.mark.parametrize(
    ("began", "words"),
    [(True, "ended without a word"), (False, "No training process began: the nodes of the gang did not meet")],
    ids=["killed", "never-met"],
)
def test_a_gang_that_never_met_is_told_from_one_that_was_killed(tmp_path: Path, began: bool, words: str) -> None:
    if began:
        (tmp_path / "0.pid").write_text("77")
    _, outcome = launch.first_failure(tmp_path, 1, {"run": {"id": "r", "attempt": 1}})

    assert outcome is not None
    assert outcome.message.startswith(("A training process " if began else "") + words)


@pytest.mark.parametrize(
    ("nodes", "names"),
    [
        pytest.param(1, {"train-1.log", "train-1.stacks.txt"}, id="one-node"),
        pytest.param(
            2, {"train-1-0.log", "train-1-0.stacks.txt", "train-1-1.log", "train-1-1.stacks.txt"}, id="each-of-two"
        ),
    ],
)
def test_what_nodes_leave_does_not_overwrite_each_other(tmp_path: Path, nodes: int, names: set[str]) -> None:
    for number in range(nodes):
        supervisor: Any = supervision._Supervisor.__new__(supervision._Supervisor)
        supervisor._config, supervisor._environment = (
            config(tmp_path, nodes=nodes),
            {"JOB_COMPLETION_INDEX": str(number)},
        )
        supervisor._document, supervisor._folder = make.document(tmp_path), tmp_path / "none"
        supervisor._tail = logs.Tail(lambda: logs.Mask(()))
        supervisor._log, supervisor._kill = threading.Thread(), lambda: None
        supervisor._log.start()
        supervisor._with_log(supervisor._end_stalled("step 3", 200.0))

    assert {file.name for file in (make.run_folder(tmp_path) / "reports" / "attempts").iterdir()} == names


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
        pytest.param([], -9, 137, "ProcessLost", id="the-only-one-was-killed"),
        pytest.param([(1, 30, "Other"), (0, 30, "Stopped")], 0, 30, "Stopped", id="all-stopped-in-good-order"),
        pytest.param([(1, 30, "Other"), (0, 13, "Diverged")], 1, 13, "Diverged", id="one-failed-as-others-stopped"),
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

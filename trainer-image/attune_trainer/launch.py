"""Several processes for one training: torchrun, and which of their outcomes speaks for the pod.

`python -m attune_trainer train` starts this by itself where the RunConfig asks for several GPUs or nodes, so the pod's
command is the same for one process and for many. Under a torchrun that somebody else started it stays away. torchrun
itself always ends with 1 when a process fails; this ends with that process's own exit code.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attune_contract.enums import ExitCode, OutcomeState, Stage
from attune_contract.outcome import Outcome
from attune_contract.runconfig import RENDEZVOUS_PORT, RunConfig
from attune_trainer import outcomes, stop

FOLDER_VARIABLE = "ATTUNE_PROCESS_OUTCOMES"
NODE_RANK_VARIABLE = "JOB_COMPLETION_INDEX"
MASTER_VARIABLE = "MASTER_ADDR"


def is_needed(config: RunConfig, stage: Stage, environment: Mapping[str, str]) -> bool:
    """Whether this process should start the ones that train, rather than train."""
    several = config.workload.resources.nodes > 1 or config.workload.resources.gpus_per_node > 1
    return stage is Stage.TRAIN and several and "RANK" not in environment


def collects(environment: Mapping[str, str]) -> bool:
    """Whether this process was started by `run`, which collects the outcomes of all its processes."""
    return FOLDER_VARIABLE in environment


def run(config: RunConfig, path: Path, environment: Mapping[str, str]) -> int:
    """Starts the processes of this node, waits for them, and says how they ended.

    Args:
        config: the RunConfig, for the numbers of nodes and GPUs.
        path: its file, for the processes.
        environment: JOB_COMPLETION_INDEX and MASTER_ADDR say which node this is and where the first one is.

    Returns:
        The exit code of the process that failed first, or 0.
    """
    document = config.model_dump(mode="json")
    with tempfile.TemporaryDirectory(prefix="attune-outcomes-") as folder:
        child = subprocess.Popen(  # noqa: S603 - our own command
            command(config, path, environment),
            env={**environment, FOLDER_VARIABLE: folder},
            start_new_session=True,
        )
        stop.on_sigterm(lambda: _stop(child, document, environment), outcomes.TERMINATED)
        child.wait()
        code, outcome = first_failure(Path(folder), child.returncode, document)
    if outcome:
        outcomes.emit(outcome, environment, sys.stdout)
    return code


def command(config: RunConfig, path: Path, environment: Mapping[str, str]) -> list[str]:
    """The torchrun command of this node."""
    resources = config.workload.resources
    where = ["--standalone"]
    if resources.nodes > 1:
        where = [
            f"--nnodes={resources.nodes}",
            f"--node-rank={environment.get(NODE_RANK_VARIABLE, '0')}",
            f"--master-addr={environment.get(MASTER_VARIABLE, 'localhost')}",
            f"--master-port={RENDEZVOUS_PORT}",
        ]
    processes = f"--nproc-per-node={max(1, resources.gpus_per_node)}"
    train = ["-m", "attune_trainer", "train", "--config", str(path)]
    return [sys.executable, "-m", "torch.distributed.run", *where, processes, *train]


def leave(folder: Path, rank: int, outcome: Outcome, code: int) -> None:
    """Leaves the outcome of one process for `run` to find, in one step."""
    beside = folder / f".{rank}"
    beside.write_text(outcome.dumps(), encoding="utf-8")
    beside.rename(folder / f"{rank}-{code}.json")


def first_failure(folder: Path, code: int, document: Mapping[str, Any]) -> tuple[int, Outcome | None]:
    """Which outcome speaks for the pod.

    Args:
        folder: where the processes left theirs, named `<rank>-<exit code>.json`.
        code: how torchrun itself ended.
        document: the RunConfig, to say which run it was.

    Returns:
        The earliest that failed, since the others fall because of it; the first process's where none did; and on other
        nodes than the first, where all went well, none: there is nothing to report.
    """
    left = sorted(folder.glob("*.json"), key=lambda p: p.stat().st_mtime_ns)
    ends = [(int(p.stem.split("-")[1]), Outcome.loads(p.read_text(encoding="utf-8")), p.stem) for p in left]
    failed = next(((c, o) for c, o, _ in ends if c != ExitCode.DONE), None)
    if failed:
        return failed
    if code != ExitCode.DONE:
        return int(ExitCode.UNEXPECTED), _silent(document)
    return int(ExitCode.DONE), next((o for _, o, name in ends if name.startswith("0-")), None)


def _silent(document: Mapping[str, Any]) -> Outcome:
    message = (
        "A training process ended without a word, most likely killed by the kernel for memory. The pod's log and its "
        "container's last state tell more; raise resources.memory if it was memory."
    )
    return Outcome(
        **outcomes.identity(document),
        stage=Stage.TRAIN,
        state=OutcomeState.FAILED,
        reason="ProcessLost",
        message=message,
    )


def _stop(child: "subprocess.Popen[bytes]", document: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    os.killpg(child.pid, signal.SIGTERM)
    outcomes.emit(outcomes.stopped(document, Stage.TRAIN), environment, sys.stdout)

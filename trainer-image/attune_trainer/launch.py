"""The processes of one training, and which of their outcomes speaks for the pod.

`python -m attune_trainer train` starts them by itself, under torchrun where the RunConfig asks for several GPUs or
nodes, and watches over them (`supervision.py`). Under a torchrun that somebody else started it stays away. torchrun
itself always ends with 1 when a process fails; this ends with that process's own exit code.

| file, in a folder that the processes share | what |
| --- | --- |
| `<rank>.pid` | that it hears signals |
| `<rank>.beat` | its signs of life (`heart.py`) |
| `<rank>.stacks` | where it stood, when asked |
| `<rank>-<exit code>.json` | its Outcome |
| kept.json | what the Outcome says of checkpoints, however the attempt ends |
"""

import faulthandler
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from attune_contract.enums import ExitCode, OutcomeState, Stage
from attune_contract.outcome import Outcome
from attune_contract.runconfig import RENDEZVOUS_PORT, RunConfig
from attune_trainer import outcomes
from attune_trainer.distributed import Process
from attune_trainer.heart import ALLOWANCE, Heart, floor_of

FOLDER_VARIABLE = "ATTUNE_PROCESS_OUTCOMES"
NODE_RANK_VARIABLE = "JOB_COMPLETION_INDEX"
MASTER_VARIABLE = "MASTER_ADDR"
STACKS_SIGNAL = signal.SIGUSR1
KEPT = "kept.json"
_OF_OTHERS = frozenset({"UnexpectedError", "Terminated"})
"""What a process says that fell because another one did."""


def is_needed(stage: Stage, environment: Mapping[str, str]) -> bool:
    """Whether this process should start the ones that train, rather than train."""
    return stage is Stage.TRAIN and "RANK" not in environment and not collects(environment)


def collects(environment: Mapping[str, str]) -> bool:
    """Whether this process is watched over by one that collects the outcomes of all."""
    return FOLDER_VARIABLE in environment


def command(config: RunConfig, path: Path, environment: Mapping[str, str]) -> list[str]:
    """The command that trains on this node: one process by itself, several under torchrun."""
    resources = config.workload.resources
    train = ["-m", "attune_trainer", "train", "--config", str(path)]
    if not is_several(config):
        return [sys.executable, *train]
    where = ["--standalone"]
    if resources.nodes > 1:
        where = [
            f"--nnodes={resources.nodes}",
            f"--node-rank={environment.get(NODE_RANK_VARIABLE, '0')}",
            f"--master-addr={environment.get(MASTER_VARIABLE, 'localhost')}",
            f"--master-port={RENDEZVOUS_PORT}",
            f"--rdzv-conf=timeout={ALLOWANCE:.0f}",  # a node may have to be added, or its image pulled
        ]
    processes = f"--nproc-per-node={processes_here(config)}"
    return [sys.executable, "-m", "torch.distributed.run", *where, processes, *train]


def is_several(config: RunConfig) -> bool:
    """Whether several processes train together."""
    return config.workload.resources.nodes > 1 or config.workload.resources.gpus_per_node > 1


def node(config: RunConfig, environment: Mapping[str, str]) -> int | None:
    """Which node of a gang this is; None where there is but one."""
    number = environment.get(NODE_RANK_VARIABLE, "0")
    return int(number) if config.workload.resources.nodes > 1 and number.isdecimal() else None


def processes_here(config: RunConfig) -> int:
    """How many of them are on this node."""
    return max(1, config.workload.resources.gpus_per_node)


# In the processes that train


def report_for_duty(environment: Mapping[str, str]) -> None:
    """Says that this process hears signals, and has it tell where it stands when asked to."""
    folder, rank = _place(environment)
    stacks = (folder / f"{rank}.stacks").open("a", encoding="utf-8")
    faulthandler.register(STACKS_SIGNAL, file=stacks, all_threads=True)  # keeps the file open
    (folder / f"{rank}.pid").write_text(str(os.getpid()), encoding="utf-8")


def heart_of(environment: Mapping[str, str]) -> Heart:
    """Where this process gives signs of life; nowhere, if nobody watches over it."""
    if not collects(environment):
        return Heart(None)
    folder, rank = _place(environment)
    return Heart(folder / f"{rank}.beat", floor_of(environment))


def shared(environment: Mapping[str, str]) -> Path | None:
    """A folder of this attempt alone that the processes of this node share; None: nobody watches over this one."""
    return Path(environment[FOLDER_VARIABLE]) if collects(environment) else None


def leave(folder: Path, rank: int, outcome: Outcome, code: int) -> None:
    """Leaves the outcome of one process to be found, in one step."""
    beside = folder / f".{rank}"
    beside.write_text(outcome.dumps(), encoding="utf-8")
    beside.rename(folder / f"{rank}-{code}.json")


def leave_kept(environment: Mapping[str, str], kept: Mapping[str, Any]) -> None:
    """Leaves what the Outcome says of checkpoints, in case this process cannot say it in the end."""
    folder, _ = _place(environment)
    checkpoint = kept.get("checkpoint")
    document = {**kept, "checkpoint": checkpoint.model_dump(mode="json") if checkpoint else None}
    beside = folder / f".{KEPT}.{threading.get_ident()}"
    with suppress(OSError):  # a disk that is full is no reason to end a training
        beside.write_text(json.dumps(document), encoding="utf-8")
        beside.rename(folder / KEPT)


def exit_code(code: int, process: Process, environment: Mapping[str, str]) -> int:
    """How a process that trains ends.

    One that stopped in good order must not look to torchrun as if it had failed: torchrun would end the others, which
    may still be saying so.
    """
    others_care = collects(environment) or not process.is_first
    return 0 if code == ExitCode.STOPPED_WITH_CHECKPOINT and others_care else code


# In the process that watches over them


def kept(folder: Path) -> dict[str, Any]:
    """What the Outcome says of checkpoints, as fields."""
    try:
        document: dict[str, Any] = json.loads((folder / KEPT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document


def spoken(folder: Path) -> tuple[int, Outcome | None] | None:
    """Which outcome speaks for the pod.

    Args:
        folder: where the processes left theirs.

    Returns:
        The earliest that failed and knows why, since the others fall because of it; the first process's where all
        stopped in good order or none failed; None where no process that failed, and not the first one, said a word.
    """
    left = sorted(folder.glob("*-*.json"), key=lambda p: p.stat().st_mtime_ns)
    ends = [(int(p.stem.split("-")[1]), Outcome.loads(p.read_text(encoding="utf-8")), p.stem) for p in left]
    good = {ExitCode.DONE, ExitCode.STOPPED_WITH_CHECKPOINT}
    failed = [(c, o) for c, o, _ in ends if c not in good]
    failed.sort(key=lambda end: end[1] is None or end[1].reason in _OF_OTHERS)
    if failed:
        return failed[0]
    ends.sort(key=lambda end: not end[2].startswith("0-"))
    return next(((c, o) for c, o, _ in ends if c != ExitCode.DONE), None) or next(
        ((c, o) for c, o, name in ends if name.startswith("0-")), None
    )


def first_failure(
    folder: Path, code: int, document: Mapping[str, Any], expected: int = 1
) -> tuple[int, Outcome | None]:
    """How the pod ends once its processes have.

    Args:
        folder: where the processes left their outcomes.
        code: how the command ended that started them; negative: by a signal.
        document: the RunConfig, to say which run it was.
        expected: processes of this node: one that said nothing made the others fail, unless one of them knows better.

    Returns:
        The exit code, and the Outcome; on other nodes than the first, where all went well, none: there is nothing to
        report.
    """
    said = spoken(folder)
    others_fell = said is not None and said[1] is not None and said[1].reason in _OF_OTHERS
    is_one_silent = len(list(folder.glob("*-*.json"))) < expected
    if code != ExitCode.DONE and others_fell and is_one_silent:
        said = None
    if said and (said[0] != ExitCode.DONE or code == ExitCode.DONE):
        return said
    if code != ExitCode.DONE:
        has_begun = any(folder.glob("*.pid"))
        return (128 - code if code < 0 else int(ExitCode.UNEXPECTED)), lost(document, kept(folder), has_begun=has_begun)
    return int(ExitCode.DONE), None


def lost(document: Mapping[str, Any], kept_fields: Mapping[str, Any], *, has_begun: bool = True) -> Outcome:
    """The Outcome where a process ended without a word.

    Args:
        document: the RunConfig, to say which run it was.
        kept_fields: what the Outcome says however the stage ends.
        has_begun: whether a process that trains ever began, on this node.
    """
    message = (
        "A training process ended without a word, most likely killed from outside. The pod's log and its container's "
        "last state tell more; raise resources.memory if it was memory."
        if has_begun
        else f"No training process began: the nodes of the gang did not meet within {ALLOWANCE / 60:.0f} minutes, or "
        "torchrun failed; the pod's log tells. Look whether all pods of the attempt run, and reach the first one."
    )
    return Outcome(
        **outcomes.identity(document),
        **kept_fields,
        stage=Stage.TRAIN,
        state=OutcomeState.FAILED,
        reason="ProcessLost",
        message=message,
    )


def _place(environment: Mapping[str, str]) -> tuple[Path, int]:
    return Path(environment[FOLDER_VARIABLE]), Process.of(environment).rank

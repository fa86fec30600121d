"""How an attempt ended, said once: as the Outcome in the termination message and as an exit code."""

import logging
import os
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from attune_contract.enums import ExitCode, OutcomeState, Stage
from attune_contract.outcome import Outcome
from attune_contract.runconfig import TERMINATION_LOG
from attune_trainer.errors import OutOfMemoryError, StageError, StoppedError

PATH_VARIABLE = "ATTUNE_OUTCOME_PATH"
TERMINATED = 128 + 15
"""Exit code after SIGTERM without a checkpoint, as shells count signals: another attempt starts afresh."""
_log = logging.getLogger(__name__)


def of_error(
    error: BaseException, document: Mapping[str, Any], stage: Stage, kept: Mapping[str, Any] = MappingProxyType({})
) -> tuple[Outcome, int]:
    """The Outcome and exit code of a stage that raised.

    Args:
        error: what it raised; anything but a StageError is a fault that nobody foresaw.
        document: the RunConfig as it was read, perhaps not a valid one.
        stage: as the command line says.
        kept: fields that the Outcome has however the stage ended (`progress.Board.kept`).
    """
    known = error if isinstance(error, StageError) else _translated(error)
    outcome = Outcome(
        **identity(document),
        stage=stage,
        state=known.state,
        reason=known.reason,
        message=str(known),
        validation=getattr(known, "validation", None),
        estimate=getattr(known, "estimate", None),
        artifacts=getattr(known, "artifacts", ()),
        stop_reason=getattr(known, "why", None),
        **kept,
    )
    if isinstance(known, StoppedError):
        outcome = outcome.model_copy(update={"checkpoint": known.checkpoint})
    if outcome.validation is not None:
        outcome = outcome.model_copy(update={"report_uri": outcome.validation.report_uri})
    return outcome, int(known.exit_code)


def stopped(document: Mapping[str, Any], stage: Stage, kept: Mapping[str, Any] = MappingProxyType({})) -> Outcome:
    """The Outcome after SIGTERM where no checkpoint could be saved for it.

    Args:
        document: the RunConfig as it was read.
        stage: as the command line says.
        kept: fields that the Outcome has however the stage ended, such as an earlier checkpoint.
    """
    then = "goes on from its last checkpoint" if kept.get("checkpoint") else "starts it afresh"
    return Outcome(
        **{**identity(document), **kept},
        stage=stage,
        state=OutcomeState.STOPPED,
        reason="Terminated",
        message=f"The {stage.value} stage was asked to stop before it was complete; another attempt {then}.",
    )


def identity(document: Mapping[str, Any]) -> dict[str, Any]:
    """Which run and attempt a document speaks of, as far as it says so; never an error."""
    run = document.get("run")
    run = run if isinstance(run, dict) else {}
    attempt = run.get("attempt")
    return {"run_id": str(run.get("id", "")), "attempt": attempt if isinstance(attempt, int) else 1}


def emit(outcome: Outcome, environment: Mapping[str, str], out: TextIO, mask: Callable[[str], str]) -> None:
    """Writes the Outcome where the operator looks for it, or prints it where there is no such place (a laptop).

    Args:
        outcome: how the stage ended.
        environment: says where that place is.
        out: where it is printed.
        mask: takes secrets out of what is said in words; errors quote addresses.
    """
    said = tuple(mask(warning) for warning in outcome.warnings)
    outcome = outcome.model_copy(update={"message": mask(outcome.message), "warnings": said})
    text = outcome.dumps()
    given = environment.get(PATH_VARIABLE)
    path = Path(given or TERMINATION_LOG)
    if not given and not path.exists():
        print(outcome.model_dump_json(indent=2, exclude_none=True), file=out)
        return
    _put(path, text.encode())


def _put(path: Path, data: bytes) -> None:
    """Writes a file in one go: a process that ends meanwhile leaves no empty one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, data)
        with suppress(OSError):  # a pipe has no length
            os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)


def _translated(error: BaseException) -> StageError:
    if _is_out_of_memory(error):
        return OutOfMemoryError(
            f"Memory is used up: {_first_line(error)}. Lower training.batchSize or training.sequenceLength, use LoRA "
            "instead of Full, or give the pod more memory (resources.memory, or a larger accelerator)."
        )
    _log.error("a fault that nobody foresaw", exc_info=error)
    where = traceback.extract_tb(error.__traceback__)[-1:]
    place = f" at {Path(where[0].filename).name}:{where[0].lineno}" if where else ""
    return StageError(f"Unexpected {type(error).__name__}{place}: {_first_line(error)}. The pod's log has the details.")


def _is_out_of_memory(error: BaseException) -> bool:
    # By name, so that the stage without torch can ask too.
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "DefaultCPUAllocator: can't allocate memory" in text
        or "CUDA out of memory" in text
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def exit_code_of(outcome: Outcome) -> int:
    """The exit code of a stage that ended without an error."""
    return int(ExitCode.DONE if outcome.state is OutcomeState.SUCCEEDED else ExitCode.UNEXPECTED)

"""Trainings that save their state, stop at a step of one's choice, and go on in another attempt."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import method_factories as methods
import trainer_factories as make
from attune_contract.enums import Method, Stage
from attune_contract.outcome import Artifact
from attune_contract.runconfig import RunConfig
from attune_trainer.artifacts import RunFiles
from attune_trainer.checkpointing import store
from attune_trainer.data import canonical
from attune_trainer.errors import StoppedError
from attune_trainer.progress import Board
from attune_trainer.stop import Stopper
from attune_trainer.storage.file import FileStore

if TYPE_CHECKING:  # torch is imported where it is used: collecting tests should not take seconds
    from attune_trainer.checkpointing.keeper import Keeper
    from attune_trainer.methods.base import Job, Loaded, Step, Trained

IDENTITY = store.Identity("sha256:c", "sha256:d", "sha256:m")


def run_files(folder: Path) -> RunFiles:
    """The run's own files, on disk."""
    return RunFiles(FileStore(), f"file://{make.run_folder(folder)}", Stage.TRAIN)


def board() -> Board:
    """Of an attempt at training."""
    return Board("run-1", Stage.TRAIN, 1, lambda: datetime(2026, 1, 1, tzinfo=UTC))


def job(folder: Path, method: Method, *, watched: bool = False, family: str = "llama", **changes: Any) -> "Job":
    """A training as `method_factories.job` makes it; watched with its last six rows where that is asked for."""
    if not (folder / "model").is_dir():
        make.make_model(folder / "model", family=family)
    rows = methods.rows_of(method)
    given = methods.job(folder, method, rows[:-6] if watched else rows, **changes)
    if not watched:
        return given
    with canonical.Writer(folder / "validation.parquet", canonical.kind_of(method)) as writer:
        for row in rows[-6:]:
            writer.write(row)
    return replace(given, validation=folder / "validation.parquet")


def attempt(
    given: "Job",
    folder: Path,
    *,
    stop_after: int | None = None,
    identity: store.Identity = IDENTITY,
    told: Board | None = None,
    on_step: "Callable[[Step], None] | None" = None,
    **config: Any,
) -> "tuple[Trained, Loaded] | Artifact":
    """One attempt at a training; stopped by a signal after a step, it gives its checkpoint."""
    keeper, stopper = keeping(given, folder, identity=identity, told=told, **config)

    def look(step: "Step") -> None:
        if stop_after is not None and step.step >= stop_after:
            stopper._asked_at = time.monotonic()  # as the thread that hears the signal does
        if on_step:
            on_step(step)

    try:
        return methods.train(replace(given, keeper=keeper, on_step=look))
    except StoppedError as stopped:
        return stopped.checkpoint


def keeping(
    given: "Job", folder: Path, *, identity: store.Identity = IDENTITY, told: Board | None = None, **config: Any
) -> "tuple[Keeper, Stopper]":
    """What saves and stops a training."""
    from attune_trainer.checkpointing.keeper import Keeper, Plan

    document = make.document(folder) | config
    stopper = Stopper(lambda: None, 0, 600, leave=lambda _: None)
    plan = Plan(
        config=RunConfig.model_validate(document),
        run=run_files(folder),
        identity=identity,
        description={},
        process=given.process,
        stopper=stopper,
        board=told or board(),
        heart=given.heart,
        scratch=given.folder,
        shared=given.folder,
        clock=time.monotonic,
        started=time.monotonic(),
    )
    return Keeper(plan), stopper

"""Checkpoints below a run: which are complete, fetched and verified, and which go. No torch here.

A checkpoint exists once its COMPLETE does. It is written last and names the digest of every file, so whatever else lies
in the folder is not looked at.
"""

import json
import re
import shutil
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from attune_contract import VERSION, layout
from attune_contract.outcome import Artifact
from attune_trainer import digests, locks
from attune_trainer.artifacts import RunFiles
from attune_trainer.errors import (
    DigestMismatchError,
    InvalidConfigurationError,
    ObjectNotFoundError,
    StageError,
    StoreUnreachableError,
)

_LOOK_AGAIN = 0.5
"""Seconds between two looks for the parts of others."""
_FOLDER = re.compile(r"^(\d{1,12})/(.+)$")


@dataclass(frozen=True)
class Identity:
    """What a checkpoint must have been made from to go on from it, as digests."""

    configuration: str
    """Of method, tuning, training and whatever else of the manifest changes what is learnt."""
    data: str
    """Of the rows that are learnt, and of those that training is watched with."""
    model: str
    """Of the base model."""

    def as_json(self) -> dict[str, str]:
        """The entries of checkpoint.json."""
        return {"configurationDigest": self.configuration, "dataDigest": self.data, "modelDigest": self.model}

    def demand(self, uri: str, description: dict[str, Any]) -> None:
        """Refuses a checkpoint of something else.

        Args:
            uri: where it is, for the message.
            description: its checkpoint.json.

        Raises:
            InvalidConfigurationError: it is of another configuration.
            DigestMismatchError: it is of other data, or of another model.
        """
        other = [name for name, digest in self.as_json().items() if description.get(name) != digest]
        if not other:
            return
        words = {"configurationDigest": "configuration", "dataDigest": "data", "modelDigest": "base model"}
        message = (
            f"{uri}: this checkpoint was made with another {' and another '.join(words[name] for name in other)} than "
            "this attempt has, and training cannot go on from it. Start a new run (on a laptop: another run.id)."
        )
        raise (InvalidConfigurationError if other == ["configurationDigest"] else DigestMismatchError)(message)


@dataclass(frozen=True)
class Found:
    """A checkpoint that was fetched and verified."""

    step: int
    folder: Path
    description: dict[str, Any]
    artifact: Artifact
    seconds: float | None
    """How long it took to write."""


def steps(run: RunFiles) -> dict[int, set[str]]:
    """What there is below `checkpoints/`: paths relative to its folder, by step; complete or not."""
    prefix = run.uri(layout.CHECKPOINTS) + "/"
    found: dict[int, set[str]] = {}
    for info in run.store.list(prefix):
        match = _FOLDER.match(info.uri.removeprefix(prefix))
        if match:
            found.setdefault(int(match[1]), set()).add(match[2])
    return found


def resumable(run: RunFiles) -> list[int]:
    """Steps of the complete checkpoints that training can go on from, the newest first."""
    return _resumable(steps(run))


def _resumable(there: dict[int, set[str]]) -> list[int]:
    state = f"{layout.CHECKPOINT_STATE}/"
    with_state = {step for step, names in there.items() if any(name.startswith(state) for name in names)}
    return sorted((step for step in with_state if layout.COMPLETE in there[step]), reverse=True)


@dataclass(frozen=True)
class Part:
    """Which part of a checkpoint a process writes, where every one writes some of it."""

    rank: int
    of: int
    token: str
    """Tells this time from any other at which the same step is saved; all parts of a checkpoint have the same."""

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.of:
            raise ValueError(f"part {self.rank} of {self.of}")


def write_part(run: RunFiles, folder: Path, step: int, part: Part) -> None:
    """Uploads what another process than the first has of a checkpoint, and then says what that is.

    Args:
        run: the run's files.
        folder: its files; no other part has files of the same names.
        step: optimizer steps done.
        part: which.

    Raises:
        StageError: the store refuses, or does not answer.
        OSError: a file cannot be read.
    """
    path = f"{layout.checkpoint_path(step)}/"
    artifact, files = run.put_files(path, folder)
    run.put_json(_said(path, part.token, part.rank), {"files": files, "sizeBytes": artifact.size_bytes})


def give_up_part(run: RunFiles, step: int, part: Part, why: str) -> None:
    """Says that a part will not come, so that nobody waits for it; as far as the store can be told."""
    with suppress(StageError):
        run.put_json(_said(f"{layout.checkpoint_path(step)}/", part.token, part.rank), {"failed": why})


def write(
    run: RunFiles, folder: Path, step: int, elapsed: Callable[[], float], parts: "Parts | None" = None
) -> Artifact:
    """Uploads a folder as a checkpoint, its marker last.

    Args:
        run: the run's files.
        folder: weights, state and description.
        step: optimizer steps done.
        elapsed: seconds since the checkpoint was begun.
        parts: what other processes upload of it, and how long they are waited for; None: this is all.

    Raises:
        StoreUnreachableError: other parts did not get there.
    """
    path = f"{layout.checkpoint_path(step)}/"
    run.store.delete(run.uri(path) + "/" + layout.COMPLETE)  # of an attempt before: files and marker must never mix
    artifact, files = run.put_files(path, folder)
    if parts:
        artifact, files = parts.join(run, path, artifact, files)
    marker = {"version": VERSION, "digest": artifact.digest, "files": files, "seconds": round(elapsed(), 3)}
    run.put_json(path + layout.COMPLETE, marker)
    if parts:
        parts.tidy(run, path)
    return artifact


@dataclass(frozen=True)
class Parts:
    """The parts of other processes, for the one that writes the marker. They meet in the store, and nowhere else."""

    part: Part
    patience: float
    """Seconds to wait for them once this process has uploaded its own."""
    pause: Callable[[float], None] = time.sleep

    def join(
        self, run: RunFiles, path: str, artifact: Artifact, files: dict[str, str]
    ) -> tuple[Artifact, dict[str, str]]:
        """Waits for all others, and adds what they wrote.

        Raises:
            StoreUnreachableError: some did not get there in time, or will not.
        """
        files, size, waited = dict(files), artifact.size_bytes, 0.0
        missing = list(range(1, self.part.of))
        while missing:
            said = {rank: run.read_json(_said(path, self.part.token, rank)) for rank in missing}
            for rank, each in said.items():
                if not each:
                    continue
                if "failed" in each:
                    raise StoreUnreachableError(f"{run.uri(path)}: the part of process {rank}: {each['failed']}")
                files |= each["files"]
                size += each["sizeBytes"]
            missing = [rank for rank in missing if not said[rank]]
            if missing and waited >= self.patience:
                raise StoreUnreachableError(
                    f"{run.uri(path)}: the parts of processes {', '.join(map(str, missing))} did not get there within "
                    f"{self.patience:.0f} s"
                )
            if missing:
                self.pause(_LOOK_AGAIN)
                waited += _LOOK_AGAIN
        return artifact.model_copy(update={"digest": _digest(files), "size_bytes": size}), files

    def tidy(self, run: RunFiles, path: str) -> None:
        """Removes what the others said: it is in the marker now."""
        for rank in range(1, self.part.of):
            run.store.delete(run.uri(_said(path, self.part.token, rank)))


def _said(path: str, token: str, rank: int) -> str:
    """Where a part says that it is there."""
    return f"{path}parts/{token}-{rank}.json"


def fetch(run: RunFiles, step: int, target: Path, beat: Callable[[], None] = lambda: None) -> Found:
    """Fetches a checkpoint and verifies every file of it. The processes of a machine may share one copy.

    Args:
        run: the run's files.
        step: its step.
        target: where it goes, in a folder that is this attempt's alone; whoever comes first fills it, others wait.
        beat: told, while it waits, that nothing is wrong.

    Raises:
        DigestMismatchError: it is not complete, or not as it was written.
        OSError: this machine's disk fails.
    """
    path = f"{layout.checkpoint_path(step)}/"
    marker = run.read_json(path + layout.COMPLETE)
    files = marker.get("files") if isinstance(marker, dict) else None
    if not isinstance(marker, dict) or not isinstance(files, dict) or marker.get("digest") != _digest(files):
        raise DigestMismatchError(f"{run.uri(path)}: its {layout.COMPLETE} is missing or damaged")
    target.parent.mkdir(parents=True, exist_ok=True)
    with locks.alone(target.with_name(f"{target.name}.lock"), beat):
        if not target.is_dir():
            _fill(run, path, files, target)
    description = _description(run.uri(path), target / layout.CHECKPOINT_DESCRIPTION)
    size = sum((target / name).stat().st_size for name in files)
    artifact = Artifact(path=path, digest=str(marker["digest"]), size_bytes=size, stage=run.stage)
    seconds = marker.get("seconds")
    return Found(step, target, description, artifact, float(seconds) if isinstance(seconds, int | float) else None)


def forget(target: Path) -> None:
    """Removes a shared copy, or what there is of one."""
    for folder in (target, target.with_name(f"{target.name}.part")):
        shutil.rmtree(folder, ignore_errors=True)
    target.with_name(f"{target.name}.lock").unlink(missing_ok=True)


def sweep(run: RunFiles, keep: int, spare: Collection[int] = (), bad: Collection[int] = ()) -> list[int]:
    """Removes what never became complete, and what is complete beyond the newest that training can go on from.

    One without a state, as is left at the end, is not counted: it takes no place of those that can be gone on from.

    Args:
        run: the run's files.
        keep: checkpoints that training can go on from to keep.
        spare: steps that stay whatever they are, such as one that was just written.
        bad: steps of complete ones that could not be used, and go.

    Returns:
        The steps that went.

    Raises:
        StageError: the store refuses, or does not answer.
    """
    there = steps(run)
    kept = [step for step in _resumable(there) if step not in bad][:keep]
    gone = [step for step in there if step not in kept and step not in spare]
    for step in gone:
        remove(run, step, there[step])
    with suppress(StageError):  # keys that may remove objects need not be able to see what never became one
        run.store.drop_uploads(run.uri(layout.CHECKPOINTS) + "/")
    return gone


def remove(run: RunFiles, step: int, names: Collection[str]) -> None:
    """Removes a checkpoint: its marker first, so that what is left of it at any moment does not exist."""
    prefix = run.uri(layout.checkpoint_path(step))
    for name in sorted(names, key=lambda name: (name != layout.COMPLETE, name)):
        run.store.delete(f"{prefix}/{name}")


def _fill(run: RunFiles, path: str, files: dict[str, str], target: Path) -> None:
    beside = target.with_name(f"{target.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    for name, digest in files.items():
        _demand_inside(run.uri(path), name)
        try:
            run.store.get(run.uri(path) + "/" + name, beside / name)
        except ObjectNotFoundError as error:
            raise DigestMismatchError(f"{run.uri(path)}: {name} is gone") from error
        if digests.of_file(beside / name) != digest:
            raise DigestMismatchError(f"{run.uri(path)}: {name} is not as it was written")
    beside.rename(target)


def _description(uri: str, file: Path) -> dict[str, Any]:
    """What checkpoint.json says; a marker that does not name one is damaged as well."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise DigestMismatchError(f"{uri}: its {file.name} cannot be read") from error
    if not isinstance(found, dict):
        raise DigestMismatchError(f"{uri}: its {file.name} cannot be read")
    return found


def _demand_inside(uri: str, name: str) -> None:
    """A marker is data of a bucket: it must not name files elsewhere on this machine."""
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise DigestMismatchError(f"{uri}: its {layout.COMPLETE} names {name!r}, which is no file of a checkpoint")


def _digest(files: dict[str, Any]) -> str:
    return digests.of_folder({str(name): str(digest) for name, digest in files.items()})

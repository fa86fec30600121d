"""Digests of files, folders and JSON values, in the one spelling of the contract: `sha256:<hex>`."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PREFIX = "sha256:"
_CHUNK = 1 << 20


def of_bytes(data: bytes) -> str:
    """The digest of some bytes."""
    return PREFIX + hashlib.sha256(data).hexdigest()


def of_file(path: Path) -> str:
    """The digest of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return PREFIX + digest.hexdigest()


def of_json(value: Any) -> str:
    """The digest of a JSON value, independent of the order of its keys."""
    return of_bytes(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode())


def of_folder(files: Mapping[str, str]) -> str:
    """The digest of a folder, as `attune_contract.outcome.Artifact` defines it.

    Args:
        files: digest (`sha256:…`) of each file, by its path relative to the folder.
    """
    lines = (f"{digest.removeprefix(PREFIX)}  {path}\n" for path, digest in sorted(files.items()))
    return of_bytes("".join(lines).encode())


def of_files(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Digests of some files of a folder, by relative path."""
    return {name: of_file(folder / name) for name in names}


def files_below(folder: Path) -> list[str]:
    """Relative paths of all files below a folder, sorted."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())

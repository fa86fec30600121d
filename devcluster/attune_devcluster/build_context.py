"""The files that go into an image: collected, hashed, and laid out so that the build sees nothing else.

What is hashed is exactly what is built, so an image's tag says what is in it. Times and modes are the same in every
checkout, because layers are cached by them too.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from attune_devcluster.errors import ClusterError

LEFT_OUT = frozenset({"__pycache__", ".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache"})
GLOB_CHARACTERS = frozenset("*?[")
FIXED_TIME = 1_600_000_000
HASH_LENGTH = 16


def collect(root: Path, sources: Iterable[str]) -> list[Path]:
    """Files, relative to the root, that the sources of COPY instructions name; sorted.

    Raises:
        ClusterError: a source names nothing.
    """
    found: set[Path] = set()
    for source in sources:
        pattern = source.removeprefix("./").strip("/") or "."
        matches = root.glob(pattern) if GLOB_CHARACTERS.intersection(pattern) else [root / pattern]
        files = {file for match in matches for file in _files(root, match)}
        if not files:
            raise ClusterError(
                f"{root}: the Dockerfile copies {source}, and there is no such file", hint="mend the Dockerfile"
            )
        found |= files
    return sorted(found)


def digest(root: Path, paths: Iterable[Path], values: Mapping[str, str]) -> str:
    """Hash of files (path, executable or not, content) and of further inputs by name."""
    result = hashlib.sha256()
    for name, value in sorted(values.items()):
        result.update(f"{name}={value}\0".encode())
    for path in paths:
        result.update(f"{path}\0{os.access(root / path, os.X_OK)}\0".encode())
        result.update(hashlib.sha256((root / path).read_bytes()).digest())
    return result.hexdigest()[:HASH_LENGTH]


def lay_out(root: Path, paths: Iterable[Path], target: Path) -> None:
    """Copy the files into an empty folder, with fixed times and modes."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in paths:
        copy = target / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, copy)
        copy.chmod(0o755 if os.access(root / path, os.X_OK) else 0o644)
    for folder, _, names in os.walk(target, topdown=False):
        for name in names:
            os.utime(Path(folder) / name, (FIXED_TIME, FIXED_TIME))
        Path(folder).chmod(0o755)
        os.utime(folder, (FIXED_TIME, FIXED_TIME))


def _files(root: Path, path: Path) -> set[Path]:
    if path.is_file():
        return {path.relative_to(root)}
    inside = (file.relative_to(root) for file in path.rglob("*") if file.is_file())
    return {file for file in inside if LEFT_OUT.isdisjoint(file.parts) and file.suffix != ".pyc"}

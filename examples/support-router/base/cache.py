"""A folder per set of inputs: built once, found in an instant afterwards, never half there."""

import ast
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

COMPLETE = "COMPLETE"
"""Written last; a folder without it does not count."""


def cache_root(environ: Mapping[str, str]) -> Path:
    """Where everything that is built goes, outside the checkout: `$ATTUNE_CACHE`, else `attune` in the user's cache."""
    if environ.get("ATTUNE_CACHE"):
        return Path(environ["ATTUNE_CACHE"])
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "attune"


def key_of(inputs: Mapping[str, object], sources: list[Path]) -> str:
    """Hash of the values and the Python files that a result follows from: sixteen hexadecimal digits.

    Comments, docstrings and layout do not count: a better word in one of them must not cost anyone minutes.
    """
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode())
    for path in sorted(sources):
        digest.update(f"{path.name}\0{_meaning(path)}\0".encode())
    return digest.hexdigest()[:16]


def _meaning(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [part for part in node.body if not _is_text(part)]
    return ast.dump(tree)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def ensure(folder: Path, build: Callable[[Path], None]) -> Path:
    """Return `folder`, complete; call `build` with an empty folder beside it first if it is not there yet.

    Two processes that ask at once build once: the second waits for the first.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.parent / f"{folder.name}.lock"):
        if (folder / COMPLETE).exists():
            return folder
        unfinished = folder.parent / f"{folder.name}.unfinished"
        for left_over in (unfinished, folder):
            shutil.rmtree(left_over, ignore_errors=True)
        unfinished.mkdir()
        build(unfinished)
        unfinished.rename(folder)
        (folder / COMPLETE).touch()
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # which also releases the lock

"""What every bench does beside measuring: it says how far it is, and keeps what it measured."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.report import JSON

STARTED = time.monotonic()


def say(text: str) -> None:
    """One line of progress, with the seconds since the start; on standard error, so that the table can be piped."""
    print(f"[{time.monotonic() - STARTED:4.0f} s] {text}", file=sys.stderr, flush=True)


def measured(bench: Callable[[Path], None], scratch: Path | None) -> int:
    """Runs a bench whose parts are processes, in a folder that is gone afterwards.

    Args:
        bench: is given the folder.
        scratch: where the folder is made; None: the system's place.

    Returns:
        The exit code: 1 where a part failed, 130 when interrupted.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="attune-bench-", dir=scratch) as folder:
            bench(Path(folder))
    except subprocess.CalledProcessError as error:
        print(f"bench: a part ended with {error.returncode}: {error.stderr[-2000:]}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: stopped; everything that it made is removed", file=sys.stderr)
        return 130
    return 0


def kept() -> Path:
    """The folder of samples, in the cache that the Makefile names."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "attune"
    return Path(os.environ.get("ATTUNE_CACHE") or cache) / "bench"


def keep(folder: Path, bench: str, facts: JSON) -> Path:
    """Writes all samples of one run of a bench; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    path = folder / f"{bench}-{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps({"at": now.isoformat(timespec="seconds"), **facts}, indent=1, ensure_ascii=False))
    return path

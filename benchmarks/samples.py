"""What every bench does beside measuring: it says how far it is, and keeps what it measured."""

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.report import JSON

STARTED = time.monotonic()


def say(text: str) -> None:
    """One line of progress, with the seconds since the start; on standard error, so that the table can be piped."""
    print(f"[{time.monotonic() - STARTED:4.0f} s] {text}", file=sys.stderr, flush=True)


def keep(folder: Path, bench: str, facts: JSON) -> Path:
    """Writes all samples of one run of a bench; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    path = folder / f"{bench}-{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps({"at": now.isoformat(timespec="seconds"), **facts}, indent=1, ensure_ascii=False))
    return path

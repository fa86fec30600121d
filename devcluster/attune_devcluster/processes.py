"""Processes that outlive this command: started in the background, found again later, and stopped.

A process is known by its pid, its start time and the boot it was started in, so that a pid which the kernel has given
to somebody else is never taken for ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from attune_devcluster import files
from attune_devcluster.paths import Layout

LOG_LIMIT_BYTES = 50 * 1024 * 1024
PROXY_VARIABLES = frozenset({"http_proxy", "https_proxy", "all_proxy"})
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Record:
    """What is remembered about a process that was started.

    Attributes:
        pid: its process id.
        started: start time in clock ticks after boot, from /proc/<pid>/stat.
        boot: the kernel's id of this boot.
        fingerprint: hash of its command and configuration.
    """

    pid: int
    started: int
    boot: str
    fingerprint: str


def parse_stat(text: str) -> tuple[str, int]:
    """State letter and start time of a /proc/<pid>/stat line.

    The name in the second field may hold spaces and parentheses, so fields are counted from the last parenthesis
    (proc_pid_stat(5): state is field 3, starttime field 22).
    """
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def start_time(pid: int) -> int | None:
    """Start time of a running process; None where there is none, or only its zombie."""
    try:
        state, started = parse_stat(Path(f"/proc/{pid}/stat").read_text())
    except (OSError, IndexError):
        return None
    return None if state in "ZX" else started


def load(layout: Layout, name: str) -> Record | None:
    """The record of a process that is alive and ours; None otherwise."""
    try:
        record = Record(**json.loads((layout.run / f"{name}.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return record if _alive(record) else None


def start(layout: Layout, name: str, argv: Sequence[str], *, env: Mapping[str, str], fingerprint: str) -> None:
    """Start a process in the background, in a session of its own, with its output appended to its log."""
    log = layout.log(name)
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with log.open("a") as stream:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**without_proxies(os.environ), **env},
            cwd="/",
            start_new_session=True,
        )
    record = Record(process.pid, start_time(process.pid) or 0, _boot(), fingerprint)
    files.write(layout.run / f"{name}.json", json.dumps(asdict(record)))


def without_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without proxy settings: the cluster's programs talk to this machine only, and a proxy cannot."""
    return {name: value for name, value in environment.items() if name.lower() not in PROXY_VARIABLES}


def stop(layout: Layout, name: str, *, seconds: float = 20.0) -> bool:
    """Stop a process and wait for its end; SIGKILL after `seconds`.

    Also ends one whose record was lost, because an `up` was killed at the wrong moment.

    Returns:
        Whether there was something to stop.
    """
    records = _running(layout, name)
    for record in records:
        _end(record, seconds)
    (layout.run / f"{name}.json").unlink(missing_ok=True)
    return bool(records)


def _running(layout: Layout, name: str) -> list[Record]:
    """Processes whose executable is a build of ours with this name."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            executable = Path(os.readlink(entry / "exe").removesuffix(" (deleted)"))  # noqa: PTH115  not always a path
            started = start_time(int(entry.name))
            if executable.name == name and executable.parent.parent == layout.binaries and started is not None:
                found.append(Record(int(entry.name), started, _boot(), ""))
    return found


def _end(record: Record, seconds: float) -> None:
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not _alive(record):
                return
            time.sleep(0.05)


def _alive(record: Record) -> bool:
    return record.boot == _boot() and start_time(record.pid) == record.started


def _boot() -> str:
    return BOOT_ID.read_text().strip()

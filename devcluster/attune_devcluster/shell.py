"""Runs other programs: quietly, with a full log, and with an error that says what to do."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from attune_devcluster.errors import ClusterError


def run(
    argv: Sequence[str | Path],
    *,
    log: Path,
    hint: str,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> None:
    """Run a program with its output in `log`.

    Args:
        argv: program and arguments.
        log: where the output goes; the file is begun afresh.
        hint: what to do when it fails.
        env: added to this process's environment.
        timeout: seconds until it is ended.

    Raises:
        ClusterError: it failed; carries the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [str(part) for part in argv]
    with log.open("w") as stream:
        stream.write(f"$ {shlex.join(command)}\n")
        stream.flush()
        try:
            result = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                timeout=timeout,
                check=False,
            )
        except FileNotFoundError as error:
            raise ClusterError(f"{command[0]}: not found on this machine", hint=hint) from error
        except subprocess.TimeoutExpired as error:
            raise ClusterError(f"{command[0]} did not end within {timeout:.0f} s", hint=hint, log=log) from error
    if result.returncode != 0:
        raise ClusterError(f"{shlex.join(command[:3])} … ended with status {result.returncode}", hint=hint, log=log)


def output(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> str | None:
    """The standard output of a short command; None where it fails or does not exist."""
    try:
        result = subprocess.run(
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**os.environ, **(env or {})},
            check=False,
        )
    except OSError:
        return None
    return result.stdout if result.returncode == 0 else None

"""A second gateway to the same objects, which knows other keys: that is what rotated credentials look like."""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from attune_devcluster import build
from attune_devcluster.paths import Layout
from attune_devcluster.tools import CLUSTER_TOOLS

KEYS = {"AWS_ACCESS_KEY_ID": "attune-rotated", "AWS_SECRET_ACCESS_KEY": "attune-rotated-secret"}
READY_SECONDS = 20


class Gateway(NamedTuple):
    """Where it listens, and what it takes."""

    address: tuple[str, int]
    keys: dict[str, str]


@contextmanager
def other_keys() -> Iterator[Gateway]:
    """Serves what the cluster's store has, to other keys, until the block ends; skips where the store is not ours."""
    layout = Layout.from_environment(os.environ)
    data, versions = layout.state / "s3" / "data", layout.state / "s3" / "versions"
    if not data.is_dir():
        pytest.skip("the store is not one whose files are here (a cluster on another machine)")
    tools = [tool for tool in CLUSTER_TOOLS if tool.name == "versitygw"]
    program = build.ensure(layout, tools)["versitygw"]
    address = ("127.0.0.1", _free_port())
    command = [
        *("setpriv", "--pdeathsig", "KILL", str(program)),
        *(f"--port={address[0]}:{address[1]}", "--region=us-east-1", "--keep-alive", "--quiet"),
        *("posix", f"--versioning-dir={versions}", str(data)),
    ]
    env = {**os.environ, "ROOT_ACCESS_KEY_ID": KEYS["AWS_ACCESS_KEY_ID"]}
    env["ROOT_SECRET_ACCESS_KEY"] = KEYS["AWS_SECRET_ACCESS_KEY"]
    with tempfile.TemporaryDirectory(prefix="attune-gateway-") as folder, _logged(Path(folder), command, env) as log:
        _wait(address, log)
        yield Gateway(address, KEYS)


@contextmanager
def _logged(folder: Path, command: list[str], env: dict[str, str]) -> Iterator[Path]:
    log = folder / "log"
    with log.open("w") as stream, subprocess.Popen(command, env=env, stdout=stream, stderr=stream) as process:
        try:
            yield log
        finally:
            process.kill()


def _wait(address: tuple[str, int], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            socket.create_connection(address, 1).close()
        except OSError:
            assert time.monotonic() < deadline, f"no gateway at {address}: {log.read_text()}"
            time.sleep(0.1)
        else:
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

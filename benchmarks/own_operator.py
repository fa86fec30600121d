"""The operator of this checkout as a process of this machine, for a control plane of one's own."""

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import NamedTuple


class Started(NamedTuple):
    """An operator that was started.

    Attributes:
        process: it.
        port: of loopback, where its /metrics and /healthz are.
    """

    process: asyncio.subprocess.Process
    port: int


async def start(kubeconfig: Path, log: Path, **settings: str) -> Started:
    """Starts an operator; the kernel ends it when we end.

    Args:
        kubeconfig: what it works on.
        log: what it says is added there.
        settings: variables of its environment.
    """
    port = _free_port()
    environment = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "ATTUNE_HTTP_PORT": str(port),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        **settings,
    }
    with log.open("ab") as stream:
        process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "attune_operator"),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    return Started(process, port)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

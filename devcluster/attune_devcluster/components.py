"""What a program of the cluster is: its command, its configuration, and how one sees that it works."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from attune_devcluster import files, processes
from attune_devcluster.errors import ClusterError
from attune_devcluster.paths import Layout
from attune_devcluster.shell import output

READY_SECONDS = 60.0
RELEASE_SECONDS = 5.0


@dataclass(frozen=True)
class Component:
    """One program of the cluster.

    Attributes:
        name: for its log and its record.
        argv: program and arguments.
        ready: whether it works now.
        listens: addresses `ip:port`, to be checked before it starts and shown by `status`.
        env: added to the environment.
        configuration: files that it reads, with their content.
    """

    name: str
    argv: tuple[str, ...]
    ready: Callable[[], bool]
    listens: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    configuration: Mapping[Path, str] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Changes when the running process should be replaced: another binary, argument or configuration."""
        parts = [self.argv, sorted(self.env.items()), [(str(path), text) for path, text in self.configuration.items()]]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def ensure(layout: Layout, components: Sequence[Component]) -> list[str]:
    """Start what does not run, replace what runs with another configuration, and wait until all of them work.

    Returns:
        Names of those that were started.

    Raises:
        ClusterError: one does not come up; carries its log.
    """
    started = [component.name for component in components if _ensure_process(layout, component)]
    for component in components:
        wait_until(layout, component.name, component.ready, "works")
    return started


def wait_until(
    layout: Layout, name: str, condition: Callable[[], bool], what: str, *, seconds: float = READY_SECONDS
) -> None:
    """Wait for a condition that a running component brings about.

    Raises:
        ClusterError: it ended, or the condition did not come about in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        hint = "run `make cluster-up` again; if it stays so, `make cluster-down` and `make cluster-up`"
        if processes.load(layout, name) is None:
            raise ClusterError(f"{name} ended right after its start", hint=hint, log=layout.log(name))
        if time.monotonic() > deadline:
            raise ClusterError(f"{name}: after {seconds:.0f} s not seen: {what}", hint=hint, log=layout.log(name))
        time.sleep(0.1)


def answers(url: str) -> bool:
    """Whether an HTTP(S) health address of this machine answers with 200."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # self-signed, on loopback, and nothing is sent
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=2) as response:
            return bool(response.status == 200)  # noqa: PLR2004
    except (OSError, urllib.error.URLError):
        return False


def accepts(address: str) -> bool:
    """Whether something accepts TCP connections at `ip:port`."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


def _ensure_process(layout: Layout, component: Component) -> bool:
    for path, text in component.configuration.items():
        if not path.exists() or path.read_text() != text:
            files.write(path, text, mode=0o600)
    record = processes.load(layout, component.name)
    if record is not None and record.fingerprint == component.fingerprint():
        return False
    processes.stop(layout, component.name)
    for address in component.listens:
        _must_be_free(component.name, address)
    processes.start(layout, component.name, component.argv, env=component.env, fingerprint=component.fingerprint())
    return True


def _must_be_free(name: str, address: str) -> None:
    # A process that has just ended may hold its sockets for a moment longer.
    deadline = time.monotonic() + RELEASE_SECONDS
    while not _free(address):
        if time.monotonic() > deadline:
            port = address.rpartition(":")[2]
            holder = (output(["ss", "-Hltnp", f"sport = :{port}"]) or "").strip()
            raise ClusterError(
                f"{name}: {address} is taken by another program: {holder or 'unknown to ss'}",
                hint="stop that program; or, if it is a cluster to be used, name its context in ATTUNE_CONTEXT",
            )
        time.sleep(0.1)


def _free(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return False
    return True

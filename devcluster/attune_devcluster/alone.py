"""A control plane alone: etcd, API server, controllers, scheduler and kwok, for one test session or one benchmark.

It has no kubelet, no containers, no network of its own and needs no root: nodes and pods are played. It listens on free
ports of loopback beside whatever else runs, keeps everything in one folder, and ends with the process that started it.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

from attune_devcluster import build, control_plane, fake_nodes, files, kube_api, pki
from attune_devcluster.addresses import Endpoints
from attune_devcluster.components import Component
from attune_devcluster.errors import ClusterError
from attune_devcluster.paths import Layout
from attune_devcluster.processes import without_proxies
from attune_devcluster.tools import CLUSTER_TOOLS, KWOK

NEEDED = frozenset({"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"})
READY_SECONDS = 90.0
END_SECONDS = 10.0


@dataclass(frozen=True)
class Alone:
    """A control plane that runs.

    Attributes:
        url: of the API server.
        kubeconfig: administrator's access; its current context is `kube_api.CONTEXT`.
        token: the administrator's bearer token.
        authority: certificate that the API server is known by.
        pids: of its programs, by name.
    """

    url: str
    kubeconfig: Path
    token: str
    authority: Path
    pids: Mapping[str, int]


@contextmanager
def control_plane_alone(
    cache: Layout, folder: Path, environment: Mapping[str, str], stages: Sequence[str] = ()
) -> Iterator[Alone]:
    """Starts a control plane in a folder, and ends it.

    Args:
        cache: where programs are built and kept.
        folder: for everything else; its owner removes it.
        environment: of this process.
        stages: what pods do beside getting ready and going when they are deleted, as YAML of kwok's kind Stage.

    Raises:
        ClusterError: a program could not be built, or does not come up; carries its log.
    """
    built = build.ensure(cache, [*(tool for tool in CLUSTER_TOOLS if tool.name in NEEDED), KWOK])
    binaries = {name: _own(path, folder / "bin" / name) for name, path in built.items()}
    layout, at = Layout(folder), _free_ports()
    layout.logs.mkdir(parents=True, exist_ok=True)
    pki.ensure(layout)
    server = control_plane.api_server(layout, binaries, at)
    # Nothing here reaches the API server by its Service, and an endpoint on loopback would be refused.
    server = replace(server, argv=(*server.argv, "--endpoint-reconciler-type=none"))
    with ExitStack() as stack:
        pids = _start(stack, layout, [control_plane.etcd(layout, binaries, at)], environment)
        pids |= _start(stack, layout, [server], environment)
        kube_api.write_kubeconfig(layout, at)
        others = [
            control_plane.controller_manager(layout, binaries, at),
            control_plane.scheduler(layout, binaries, at),
            fake_nodes.kwok(layout, binaries, at, stages),
        ]
        pids |= _start(stack, layout, others, environment)
        url = f"https://{at.api_server}"
        yield Alone(url, layout.kubeconfig, pki.token(layout), layout.pki / "apiserver.crt", pids)


def _own(program: Path, link: Path) -> Path:
    """A program under a path of our own: by the path, the standing cluster knows what it has to stop."""
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.hardlink_to(program)
    except OSError:  # another file system
        shutil.copy2(program, link)
    return link


def _free_ports() -> Endpoints:
    """Ports of loopback that nobody listens on now, each a different one."""
    with ExitStack() as stack:
        sockets = {field.name: stack.enter_context(socket.socket()) for field in fields(Endpoints)}
        for each in sockets.values():
            each.bind(("127.0.0.1", 0))
        return Endpoints(**{name: f"127.0.0.1:{each.getsockname()[1]}" for name, each in sockets.items()})


def _start(
    stack: ExitStack, layout: Layout, components: Sequence[Component], environment: Mapping[str, str]
) -> dict[str, int]:
    """Starts programs side by side and waits until all of them work; the stack ends them, the last one first."""
    started = {}
    for component in components:
        for path, text in component.configuration.items():
            files.write(path, text, mode=0o600)
        log = layout.log(component.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as stream:
            # The kernel ends it when we end, however that comes.
            command = ["setpriv", "--pdeathsig", "KILL", *component.argv]
            env = {**without_proxies(environment), **component.env}
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, env=env, cwd="/"
            )
        stack.callback(_end, process)
        started[component.name] = process
    for component in components:
        _wait(layout, component, started[component.name])
    return {name: process.pid for name, process in started.items()}


def _wait(layout: Layout, component: Component, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not component.ready():
        if process.poll() is not None or time.monotonic() > deadline:
            problem = "ended right after its start" if process.poll() is not None else "does not get ready"
            raise ClusterError(f"{component.name} {problem}", hint="see its log", log=layout.log(component.name))
        time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

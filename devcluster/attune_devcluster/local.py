"""The devcluster way: Kubernetes as processes of this machine."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from attune_devcluster import (
    build,
    components,
    control_plane,
    fake_nodes,
    kube_api,
    kueue,
    leftovers,
    network,
    node,
    packages,
    pause,
    pki,
    processes,
    services,
)
from attune_devcluster.addresses import (
    NODE_NAME,
    REGISTRY,
    S3_ACCESS_KEY_ID,
    S3_ENDPOINT,
    S3_REGION,
    S3_SECRET_ACCESS_KEY,
)
from attune_devcluster.choose import Kind
from attune_devcluster.console import duration, say
from attune_devcluster.description import Description, Store
from attune_devcluster.errors import ClusterError
from attune_devcluster.paths import MODULES, Layout
from attune_devcluster.tools import CLUSTER_TOOLS, KUEUE, KWOK

# kubelet before containerd, so that nothing new starts; etcd last, because the API server writes until its end.
STOP_ORDER = (
    "kueue",
    "kwok",
    "kubelet",
    "containerd",
    "kube-proxy",
    "coredns",
    "kube-scheduler",
    "kube-controller-manager",
    "versitygw",
    "registry",
    "kube-apiserver",
    "etcd",
)
# Started only when asked for.
OPTIONAL = frozenset({"kueue", "kwok"})
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def up(layout: Layout, extras: Collection[str] = (), without: str | None = None) -> Description:
    """Bring the cluster up; returns at once where it is up.

    Args:
        layout: folders.
        extras: which of `OPTIONAL` are wanted as well. Kueue is kept up once it is installed.
        without: the one that is taken away, with its objects.

    Raises:
        ClusterError: with what to do about it.
    """
    _must_be_root()
    packages.ensure(layout, packages.CLUSTER_PACKAGES)
    extras = extras_to_run(layout, extras, without)
    wanted = [
        *CLUSTER_TOOLS,
        *build.command_line_tools(layout.path_without_tools(os.environ)),
        *(tool for tool in (KWOK, KUEUE) if tool.name in extras),
    ]
    binaries = build.ensure(layout, wanted)
    link(layout, binaries)
    begun = time.monotonic()
    started = _start(layout, binaries, extras)
    if without == kueue.NAME and kueue.remove(layout):
        say("cluster: Kueue is taken away, with its queues")
    if started:
        version = next(tool for tool in CLUSTER_TOOLS if tool.name == "kubelet").version(MODULES)
        say(f"cluster: up, Kubernetes {version}, node {NODE_NAME} ready after {duration(time.monotonic() - begun)}")
    return Description(
        kind=Kind.DEVCLUSTER,
        context=kube_api.CONTEXT,
        kubeconfig=str(layout.kubeconfig),
        registry=REGISTRY,
        store=Store(S3_ENDPOINT, S3_REGION, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY),
    )


def extras_to_run(layout: Layout, asked: Collection[str], without: str | None) -> set[str]:
    """Which of `OPTIONAL` an `up` starts: those asked for, and Kueue where Jobs wait for it."""
    kept = {kueue.NAME} if kueue.installed(layout) else set()
    return {*asked, *kept} - {without}


def down(layout: Layout, *, purge: bool) -> None:
    """Stop what `up` started and nothing else; with `purge`, delete the cluster's data as well."""
    if layout.state.exists():
        _must_be_root()
        stopped = _stop(layout)
        if stopped:
            say(f"cluster: stopped {', '.join(stopped)}")
    if purge:
        leftovers.must_be_unmounted(layout)
        shutil.rmtree(layout.state, ignore_errors=True)


def running(layout: Layout) -> dict[str, processes.Record | None]:
    """The cluster's programs in the order of their start, with the record of those that run."""
    return {name: processes.load(layout, name) for name in reversed(STOP_ORDER)}


def _must_be_root() -> None:
    if os.geteuid() != 0:
        raise ClusterError(
            "the local cluster runs containers and a network bridge, which needs root",
            hint="run `sudo -E make …`; or name a cluster in ATTUNE_CONTEXT; or start docker and install kind",
        )


def _start(layout: Layout, binaries: Mapping[str, Path], extras: Collection[str]) -> list[str]:
    pki.ensure(layout)
    network.ensure(layout)
    if all(processes.load(layout, name) is None for name in ("kubelet", "containerd")):
        leftovers.sweep(layout)
    started = components.ensure(layout, [control_plane.etcd(layout, binaries)])
    started += components.ensure(layout, [control_plane.api_server(layout, binaries)])
    kube_api.write_kubeconfig(layout)
    started += components.ensure(
        layout,
        [
            node.containerd(layout, binaries),
            services.registry(layout, binaries),
            services.store(layout, binaries),
            services.dns(layout, binaries),
            control_plane.controller_manager(layout, binaries),
            control_plane.scheduler(layout, binaries),
        ],
    )
    pause.ensure(layout, binaries["ctr"], binaries["pause"], ARCHITECTURES[platform.machine()])
    started += components.ensure(layout, [node.kubelet(layout, binaries), node.proxy(layout, binaries)])
    components.wait_until(layout, "kubelet", lambda: kube_api.node_ready(layout), f"node {NODE_NAME} is ready")
    components.wait_until(
        layout,
        "kube-controller-manager",
        lambda: kube_api.default_service_account(layout),
        "the default ServiceAccount",
    )
    if "kwok" in extras:
        started += components.ensure(layout, [fake_nodes.kwok(layout, binaries)])
    if "kueue" in extras:
        started += kueue.ensure(layout, binaries)
    return started


def _stop(layout: Layout) -> list[str]:
    stopped = []
    for name in STOP_ORDER:
        if name == "containerd":
            leftovers.kill_containers()
        if processes.stop(layout, name):
            stopped.append(name)
    leftovers.sweep(layout)
    network.remove(layout, layout.tools / "kube-proxy")
    return stopped


def link(layout: Layout, binaries: Mapping[str, Path]) -> None:
    """Put links to the programs into one folder for PATH."""
    layout.tools.mkdir(parents=True, exist_ok=True)
    for name, path in binaries.items():
        link = layout.tools / name
        if not link.is_symlink() or link.readlink() != path:
            with contextlib.suppress(FileNotFoundError):
                link.unlink()
            link.symlink_to(path)

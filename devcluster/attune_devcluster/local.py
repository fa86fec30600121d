"""The devcluster way: Kubernetes as processes of this machine."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from attune_devcluster import (
    build,
    components,
    control_plane,
    fake_nodes,
    kube_api,
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
from attune_devcluster.tools import CLUSTER_TOOLS, KWOK

# kubelet before containerd, so that nothing new starts; etcd last, because the API server writes until its end.
STOP_ORDER = (
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
OPTIONAL = frozenset({"kwok"})
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def up(layout: Layout, *, with_kwok: bool = False) -> Description:
    """Bring the cluster up; returns at once where it is up.

    Raises:
        ClusterError: with what to do about it.
    """
    _must_be_root()
    packages.ensure(layout, packages.CLUSTER_PACKAGES)
    wanted = [
        *CLUSTER_TOOLS,
        *build.command_line_tools(layout.path_without_tools(os.environ)),
        *([KWOK] if with_kwok else []),
    ]
    binaries = build.ensure(layout, wanted)
    link(layout, binaries)
    begun = time.monotonic()
    started = _start(layout, binaries, with_kwok=with_kwok)
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


def _start(layout: Layout, binaries: Mapping[str, Path], *, with_kwok: bool) -> list[str]:
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
    if with_kwok:
        started += components.ensure(layout, [fake_nodes.kwok(layout, binaries)])
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

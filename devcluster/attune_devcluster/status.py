"""What `status` prints."""

from __future__ import annotations

import os
import time
from pathlib import Path

from attune_devcluster import kube_api, local
from attune_devcluster.choose import Kind
from attune_devcluster.console import duration
from attune_devcluster.description import Description
from attune_devcluster.paths import Layout
from attune_devcluster.processes import Record
from attune_devcluster.shell import output


def render(layout: Layout, description: Description) -> str:
    """The cluster's programs, addresses and disk use as text."""
    store = description.store
    facts = {
        "cluster": f"{description.kind.value}, context {description.context}",
        "kubeconfig": description.kubeconfig,
        "registry": description.registry,
        "S3": f"{store.endpoint}, region {store.region}, key {store.access_key_id}",
        "in a shell": 'eval "$(PYTHONPATH=devcluster python3 -m attune_devcluster env)"',
    }
    lines = [f"{name + ':':<12}{value}" for name, value in facts.items()]
    if description.kind is Kind.DEVCLUSTER:
        lines += [
            f"{'API server:':<12}{'ready' if kube_api.ready(layout) else 'does not answer'}",
            "",
            *_programs(layout),
        ]
    return "\n".join([*lines, "", *_disk(layout)])


def healthy(layout: Layout, description: Description) -> bool:
    """Whether everything that should run does."""
    if description.kind is not Kind.DEVCLUSTER:
        return output(["kubectl", "--kubeconfig", description.kubeconfig, "get", "--raw", "/readyz"]) is not None
    needed = {name: record for name, record in local.running(layout).items() if name not in local.OPTIONAL}
    return all(needed.values()) and kube_api.ready(layout)


def _programs(layout: Layout) -> list[str]:
    rows = [f"{'PROGRAM':<26}{'PID':>8}  {'RUNS FOR':<14}LOG"]
    for name, record in local.running(layout).items():
        if record is not None:
            rows.append(f"{name:<26}{record.pid:>8}  {_age(record):<14}{layout.log(name)}")
        elif name not in local.OPTIONAL:
            rows.append(f"{name:<26}{'-':>8}  {'not running':<14}{layout.log(name)}")
    return rows


def _age(record: Record) -> str:
    since_boot = float(Path("/proc/uptime").read_text().split()[0])
    return duration(since_boot - record.started / os.sysconf("SC_CLK_TCK"))


def _disk(layout: Layout) -> list[str]:
    names = {
        "programs": layout.binaries,
        "image builds": layout.images,
        "registry": layout.state / "registry",
        "containers": layout.state / "containerd",
        "S3 data": layout.state / "s3",
        "etcd": layout.state / "etcd",
    }
    begun = time.monotonic()
    rows = ["DISK USE"]
    for name, path in names.items():
        if path.exists() and time.monotonic() - begun < 20:  # noqa: PLR2004  seconds; counting a huge tree is not worth more
            size = output(["du", "-sxh", path])
            rows.append(f"{name:<26}{size.split()[0] if size else '?':>8}  {path}")
    return rows

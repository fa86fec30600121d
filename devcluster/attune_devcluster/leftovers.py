"""Finds and removes what pods leave behind: processes, shims, mounts, cgroups.

Needed by `down`, and by `up` after a crash or a reboot. Everything is recognised by our own folders and ids.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from attune_devcluster.addresses import CONTAINERD_SOCKET, CONTAINERD_STATE
from attune_devcluster.errors import ClusterError
from attune_devcluster.node import NETWORK_NAME
from attune_devcluster.paths import Layout
from attune_devcluster.shell import output

SHIM = "containerd-shim-runc-v2"
TASKS = Path(CONTAINERD_STATE) / "io.containerd.runtime.v2.task" / "k8s.io"
CNI_RESULTS = Path("/var/lib/cni/results")
CONTAINER_LOGS = Path("/var/log/containers")
PODS_CGROUP = "kubepods"


def kill_containers(*, seconds: float = 10.0) -> None:
    """Kill the processes of our containers, and wait until they are gone."""
    identifiers = {entry.name for entry in TASKS.iterdir()} if TASKS.is_dir() else set()
    _kill(lambda: _processes_in(identifiers), seconds)


def sweep(layout: Layout) -> None:
    """Remove everything that pods left, when neither kubelet nor containerd runs."""
    kill_containers()
    _kill(_shims, 10.0)
    unmount_below(CONTAINERD_STATE, str(layout.state))
    shutil.rmtree(CONTAINERD_STATE, ignore_errors=True)
    shutil.rmtree(layout.state / "pod-addresses", ignore_errors=True)
    for result in CNI_RESULTS.glob(f"{NETWORK_NAME}-*"):
        result.unlink(missing_ok=True)
    _remove_log_links(layout)
    _remove_cgroups()


def unmount_below(*folders: str) -> None:
    """Unmount what is mounted below the folders, innermost first."""
    table = Path("/proc/self/mountinfo").read_text()
    for point in reversed(mount_points(table, folders)):
        output(["umount", "--lazy", point])


def must_be_unmounted(layout: Layout) -> None:
    """Guard of `down --purge`: to delete through a mount would delete what belongs to somebody else.

    Raises:
        ClusterError: something is mounted below the state folder still.
    """
    points = mount_points(Path("/proc/self/mountinfo").read_text(), [str(layout.state)])
    if points:
        raise ClusterError(f"still mounted: {', '.join(points)}", hint="`umount` them, then `make cluster-purge` again")


def mount_points(mountinfo: str, folders: Iterable[str]) -> list[str]:
    """Mount points at or below the folders, in the order of the table (proc_pid_mountinfo(5), field 5)."""
    points = [line.split()[4].encode().decode("unicode_escape") for line in mountinfo.splitlines()]
    return [point for point in points if any(point == folder or point.startswith(f"{folder}/") for folder in folders)]


def belongs(cgroups: str, identifiers: set[str]) -> bool:
    """Whether a /proc/<pid>/cgroup text names a cgroup of one of the containers."""
    names = {part for line in cgroups.splitlines() for part in line.rpartition(":")[2].split("/")}
    return not names.isdisjoint(identifiers)


def _processes_in(identifiers: set[str]) -> list[int]:
    return [pid for pid in _pids() if belongs(_read(f"/proc/{pid}/cgroup"), identifiers)]


def _shims() -> list[int]:
    found = []
    for pid in _pids():
        arguments = _read(f"/proc/{pid}/cmdline").split("\0")
        if Path(arguments[0]).name == SHIM and CONTAINERD_SOCKET in arguments:
            found.append(pid)
    return found


def _kill(find: Callable[[], list[int]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (pids := find()) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _remove_log_links(layout: Layout) -> None:
    """The kubelet links every log into /var/log/containers, for collectors of logs."""
    for link in CONTAINER_LOGS.glob("*.log"):
        if link.is_symlink() and link.readlink().is_relative_to(layout.state):
            link.unlink(missing_ok=True)


def _remove_cgroups() -> None:
    """Remove the kubelet's empty cgroups; the kernel refuses to remove one that is in use."""
    roots = [*Path("/sys/fs/cgroup").glob(f"*/{PODS_CGROUP}"), Path("/sys/fs/cgroup") / PODS_CGROUP]
    for root in roots:
        for folder, _, _ in os.walk(root, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()

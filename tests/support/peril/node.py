"""What happens to a pod on its node: its processes are killed or stopped, its memory and its disk run out.

It works where the node is this machine and the tests are its root, which is so with the cluster that devcluster builds.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

JSON = dict[str, Any]
PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
TRAINS = "attune_trainer train --config"
"""In the command line of a process that trains, and not of the one that watches over it."""
STARTS = "torch.distributed.run"
"""In the command line of what starts several of them."""
WATCHES = "attune_trainer train"
ROOM = 12 << 20
"""Bytes of memory that are left to a pod whose memory runs out."""


def processes(pod: JSON, words: str, without: str = "\n") -> list[int]:
    """Processes of a pod that are seen here, the oldest first.

    Args:
        pod: the pod.
        words: in their command line.
        without: not in their command line.
    """
    found = []
    for folder in sorted(PROC.glob("[0-9]*"), key=lambda folder: int(folder.name)):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            groups = (folder / "cgroup").read_text().replace("_", "-")
        except OSError:  # it ended meanwhile
            continue
        if words in command and without not in command and pod["metadata"]["uid"] in groups:
            found.append(int(folder.name))
    return found


def trainer(pod: JSON) -> int:
    """The process that trains; skips the test where processes of pods are not seen."""
    found = processes(pod, TRAINS, STARTS)
    if not found:
        pytest.skip("the processes of pods are not seen here (a cluster on another machine)")
    return found[0]


def kill_trainer(pod: JSON) -> None:
    """SIGKILL to the process that trains, as the kernel would: no handler runs, nothing is flushed."""
    os.kill(trainer(pod), signal.SIGKILL)


def kill_all(pod: JSON) -> None:
    """SIGKILL to the container's first process, and with it to all."""
    trainer(pod)
    os.kill(processes(pod, WATCHES)[0], signal.SIGKILL)


def hang(pod: JSON) -> None:
    """SIGSTOP to the process that trains: it is there, and does nothing any more."""
    os.kill(trainer(pod), signal.SIGSTOP)


def use_up_memory(pod: JSON) -> None:
    """Lowers the container's limit to hardly more than it uses, and uses the rest, until the kernel ends a process."""
    group, limit, used = _memory(trainer(pod))
    room = int(used.read_text()) + ROOM
    limit.write_text(str(room))
    hog = f"import os,time; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
    hog += "held = []\nfor _ in range(64): held.append(bytearray(os.urandom(1 << 20))); time.sleep(0.05)"
    # Of all in the group the kernel ends the largest that does not count as important: pods count least.
    with subprocess.Popen([sys.executable, "-c", hog]) as process:
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def _memory(pid: int) -> tuple[Path, Path, Path]:
    """The memory control group of a process: its folder, its limit and its use (version 1 and 2, see cgroups(7))."""
    lines = [line.split(":", 2) for line in (PROC / str(pid) / "cgroup").read_text().splitlines()]
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):
            group = CGROUPS / "memory" / path.lstrip("/")
            return group, group / "memory.limit_in_bytes", group / "memory.usage_in_bytes"
    group = CGROUPS / lines[0][2].lstrip("/")
    return group, group / "memory.max", group / "memory.current"


@contextmanager
def full_disk(pod: JSON) -> Iterator[None]:
    """No room where training puts its checkpoints before they are uploaded, until the block ends.

    A file system of one page is laid over that folder, in the container's own view of its files.
    """
    pid = trainer(pod)
    inside = _checkpoint_folder(pid)
    enter = ["nsenter", "--mount", "--target", str(pid)]
    mount = [*enter, "mount", "-t", "tmpfs", "-o", "size=4k,mode=1777", "full", inside]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted in a pod here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run([*enter, "umount", "--lazy", inside], capture_output=True, check=False)


def _checkpoint_folder(pid: int, timeout: float = 30) -> str:
    """Where a training writes checkpoints to, as it sees it itself; the folder is there from the first one on."""
    root = PROC / str(pid) / "root"
    deadline = time.monotonic() + timeout
    while True:
        found = sorted((root / "tmp").glob("attune-*/checkpoints"))
        if found:
            return "/" + str(found[0].relative_to(root))
        assert time.monotonic() < deadline, "no folder of checkpoints below that process's scratch"
        time.sleep(0.2)

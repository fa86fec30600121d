"""Debian packages that the cluster needs, installed only when something of them is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from attune_devcluster.console import Step
from attune_devcluster.errors import ClusterError
from attune_devcluster.paths import Layout
from attune_devcluster.shell import run

CNI_PLUGINS = Path("/usr/lib/cni")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# What shows that a package is there: a command's name, or an absolute path.
CLUSTER_PACKAGES: Mapping[str, str] = {
    "runc": "runc",
    f"{CNI_PLUGINS}/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "socat": "socat",
    "ip": "iproute2",
    "openssl": "openssl",
    "mount": "mount",
}
IMAGE_PACKAGES: Mapping[str, str] = {"buildah": "buildah", "debootstrap": "debootstrap"}


def missing(wanted: Mapping[str, str], present: Callable[[str], bool]) -> list[str]:
    """Names of the packages of which something is missing, each once, in order."""
    return list(dict.fromkeys(package for evidence, package in wanted.items() if not present(evidence)))


def on_this_machine(evidence: str) -> bool:
    """Whether a command or an absolute path exists here."""
    if evidence.startswith("/"):
        return Path(evidence).exists()
    return shutil.which(evidence, path=SYSTEM_PATH) is not None


def ensure(layout: Layout, wanted: Mapping[str, str]) -> None:
    """Install what is missing with apt-get.

    Raises:
        ClusterError: something is missing and apt-get is not there, or failed.
    """
    names = missing(wanted, on_this_machine)
    if not names:
        return
    if not on_this_machine("apt-get"):
        raise ClusterError(
            f"missing on this machine: {', '.join(names)} (names of Debian packages), and there is no apt-get",
            hint="install them with the system's own package manager and run this again",
        )
    log = layout.logs / "apt-get.log"
    hint = f"run `apt-get install {' '.join(names)}` by hand to see what apt-get needs"
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with Step(f"installing Debian packages {', '.join(names)}"):
        run(["apt-get", "update", "-q"], log=log, hint=hint, env=quiet)
        run(["apt-get", "install", "-qy", "--no-install-recommends", *names], log=log, hint=hint, env=quiet)

"""Which cluster to use."""

from __future__ import annotations

import enum
import shutil
from collections.abc import Callable, Mapping

from attune_devcluster.shell import output


class Kind(enum.StrEnum):
    """The ways to a cluster, in order of preference."""

    CONTEXT = "context"
    """A cluster that exists, named by ATTUNE_CONTEXT."""

    KIND = "kind"
    """Kubernetes in docker, where docker runs and kind is installed."""

    DEVCLUSTER = "devcluster"
    """Kubernetes built from Go modules, running as processes of this machine."""


def choose(environment: Mapping[str, str], kind_installed: Callable[[], bool], docker_runs: Callable[[], bool]) -> Kind:
    """The first way that is open here; the probes are asked only as far as needed."""
    if environment.get("ATTUNE_CONTEXT"):
        return Kind.CONTEXT
    if kind_installed() and docker_runs():
        return Kind.KIND
    return Kind.DEVCLUSTER


def kind_installed() -> bool:
    """Whether the kind command is there."""
    return shutil.which("kind") is not None


def docker_runs() -> bool:
    """Whether a docker daemon answers: the command may be there without one."""
    return (
        shutil.which("docker") is not None and output(["docker", "info", "--format", "{{.ServerVersion}}"]) is not None
    )

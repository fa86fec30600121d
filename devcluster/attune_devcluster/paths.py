"""Where everything lies: one cache root outside the checkout, and the checkout itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = REPOSITORY / "devcluster" / "modules"


@dataclass(frozen=True)
class Layout:
    """Folders below the cache root. `cluster/` is state that `down --purge` deletes; the rest is caches."""

    cache: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Layout:
        """`ATTUNE_CACHE`, else `$XDG_CACHE_HOME/attune`, else `~/.cache/attune`; always absolute."""
        explicit = environment.get("ATTUNE_CACHE")
        base = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME", "~")).expanduser() / ".cache")
        # The kubelet refuses a relative root.
        return cls(Path(os.path.abspath(explicit or Path(base) / "attune")))  # noqa: PTH100  resolve() follows links

    @property
    def binaries(self) -> Path:
        """Programs built from Go modules, `<key>/<name>`."""
        return self.cache / "bin"

    @property
    def logs(self) -> Path:
        """Logs of builds and installations."""
        return self.cache / "logs"

    @property
    def images(self) -> Path:
        """Image storage and what is remembered about built images."""
        return self.cache / "images"

    @property
    def state(self) -> Path:
        """The running cluster: data, keys, configuration, logs."""
        return self.cache / "cluster"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.state / "pki"

    @property
    def config(self) -> Path:
        """Configuration files of the cluster's programs."""
        return self.state / "config"

    @property
    def run(self) -> Path:
        """One record for each process that was started."""
        return self.state / "run"

    @property
    def tools(self) -> Path:
        """Links to helm, kubectl and the like, to be put on PATH."""
        return self.state / "bin"

    @property
    def kubeconfig(self) -> Path:
        """Administrator's access to the cluster."""
        return self.state / "kubeconfig"

    @property
    def description(self) -> Path:
        """`cluster.json`: what is up and how to reach it, for tests and scripts."""
        return self.state / "cluster.json"

    def path_with_tools(self, environment: Mapping[str, str]) -> str:
        """PATH with the cluster's own programs first, each folder once."""
        return os.pathsep.join([str(self.tools), self.path_without_tools(environment)])

    def path_without_tools(self, environment: Mapping[str, str]) -> str:
        """PATH with the machine's programs only."""
        return os.pathsep.join(
            part for part in environment.get("PATH", "").split(os.pathsep) if part != str(self.tools)
        )

    def log(self, name: str) -> Path:
        """The log of one of the cluster's programs."""
        return self.state / "log" / f"{name}.log"

"""The programs that are built from Go modules.

Versions stand in `devcluster/modules/<module>/go.mod`, with checksums of every dependency beside it; a module of its
own for each keeps their dependencies apart. `go get` in that folder updates one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

KUBERNETES_MODULE = "k8s.io/kubernetes"
VERSION_VARIABLES = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Tool:
    """One program.

    Attributes:
        name: what the binary is called.
        module: folder below `devcluster/modules`.
        package: Go package with its main; "." is the folder itself.
        source: the module whose version in go.mod is the program's version.
        tags: Go build tags.
    """

    name: str
    module: str
    package: str
    source: str
    tags: tuple[str, ...] = ()

    def version(self, modules: Path) -> str:
        """The version that go.mod asks for; empty for a program whose source is here."""
        if not self.source:
            return ""
        text = (modules / self.module / "go.mod").read_text()
        found = re.search(rf"(?m)^(?:require|\t)\s*{re.escape(self.source)} (v\S+)", text)
        if found is None:
            raise LookupError(f"{modules / self.module / 'go.mod'}: no version of {self.source}")
        return found[1]

    def linker_flags(self, modules: Path) -> str:
        """Without symbols; Kubernetes programs also learn their version, which they would else call v0.0.0."""
        if self.source != KUBERNETES_MODULE:
            return "-s -w"
        version = self.version(modules)
        major, minor, _ = version.removeprefix("v").split(".", 2)
        stamps = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
        return " ".join(["-s -w", *(f"-X {VERSION_VARIABLES}.{name}={value}" for name, value in stamps.items())])


def _kubernetes(name: str) -> Tool:
    return Tool(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", KUBERNETES_MODULE)


def _containerd(name: str) -> Tool:
    source = "github.com/containerd/containerd/v2"
    return Tool(name, "containerd", f"{source}/cmd/{name}", source, ("no_btrfs", "no_zfs", "no_devmapper"))


# Small ones first: somebody who watches sees progress early.
CLUSTER_TOOLS = (
    Tool("pause", "pause", ".", ""),
    Tool("etcd", "kubernetes", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3"),
    *(
        _kubernetes(name)
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
    ),
    *(_containerd(name) for name in ("containerd", "containerd-shim-runc-v2", "ctr")),
    Tool("coredns", "coredns", ".", "github.com/coredns/coredns"),
    Tool(
        "registry",
        "registry",
        "github.com/distribution/distribution/v3/cmd/registry",
        "github.com/distribution/distribution/v3",
    ),
    Tool("versitygw", "versitygw", "github.com/versity/versitygw/cmd/versitygw", "github.com/versity/versitygw"),
)
HELM = Tool("helm", "helm", "helm.sh/helm/v3/cmd/helm", "helm.sh/helm/v3")
KUBECTL = _kubernetes("kubectl")
KWOK = Tool("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok", "sigs.k8s.io/kwok")
KUEUE = Tool("kueue", "kueue", "sigs.k8s.io/kueue/cmd/kueue", "sigs.k8s.io/kueue")

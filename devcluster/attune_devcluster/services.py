"""What stands beside Kubernetes: cluster DNS, the S3 store and the image registry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from attune_devcluster.addresses import (
    CLUSTER_DOMAIN,
    NODE_IP,
    REGISTRY,
    S3_ACCESS_KEY_ID,
    S3_ENDPOINT,
    S3_REGION,
    S3_SECRET_ACCESS_KEY,
)
from attune_devcluster.components import Component, accepts, answers
from attune_devcluster.paths import Layout


def dns(layout: Layout, binaries: Mapping[str, Path]) -> Component:
    """CoreDNS for cluster names. Every other name does not exist: an error at once, where a forward would time out."""
    path = layout.config / "Corefile"
    corefile = f"""{CLUSTER_DOMAIN}:53 {{
  bind {NODE_IP}
  errors
  kubernetes {CLUSTER_DOMAIN} {{
    kubeconfig {layout.kubeconfig}
  }}
}}
.:53 {{
  bind {NODE_IP}
  errors
  template ANY ANY {{
    rcode NXDOMAIN
  }}
}}
"""
    address = f"{NODE_IP}:53"
    return Component(
        name="coredns",
        argv=(str(binaries["coredns"]), "-conf", str(path)),
        ready=lambda: accepts(address),
        listens=(address,),
        configuration={path: corefile},
    )


def store(layout: Layout, binaries: Mapping[str, Path]) -> Component:
    """versitygw: an S3 server over a folder, with bucket versioning available."""
    data, versions = layout.state / "s3" / "data", layout.state / "s3" / "versions"
    for folder in (data, versions):
        folder.mkdir(parents=True, exist_ok=True)
    address = S3_ENDPOINT.removeprefix("http://")
    return Component(
        name="versitygw",
        argv=(
            str(binaries["versitygw"]),
            f"--port={address}",
            f"--region={S3_REGION}",
            "--keep-alive",
            "--quiet",
            "posix",
            f"--versioning-dir={versions}",
            str(data),
        ),
        ready=lambda: accepts(address),
        listens=(address,),
        env={"ROOT_ACCESS_KEY_ID": S3_ACCESS_KEY_ID, "ROOT_SECRET_ACCESS_KEY": S3_SECRET_ACCESS_KEY},
    )


def registry(layout: Layout, binaries: Mapping[str, Path]) -> Component:
    """The image registry: images lie here and not in archives, so that a changed layer is all that travels."""
    path = registry_configuration(layout)
    settings = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(layout.state / "registry")}, "delete": {"enabled": True}},
        "http": {"addr": REGISTRY},
    }
    return Component(
        name="registry",
        argv=(str(binaries["registry"]), "serve", str(path)),
        ready=lambda: answers(f"http://{REGISTRY}/v2/"),
        listens=(REGISTRY,),
        env={"OTEL_TRACES_EXPORTER": "none"},
        configuration={path: json.dumps(settings, indent=2)},
    )


def registry_configuration(layout: Layout) -> Path:
    """Where the registry's configuration lies; its garbage collection reads it too."""
    return layout.config / "registry.json"

"""What stands beside Kubernetes: cluster DNS, the S3 store, the image registry, and kwok for benchmarks."""

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

FAKE_NODE_ANNOTATION = "kwok.x-k8s.io/node=fake"


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


def kwok(layout: Layout, binaries: Mapping[str, Path]) -> Component:
    """kwok: plays the kubelet of nodes that carry the annotation, for benchmarks with a thousand pods."""
    address = "127.0.0.1:10247"
    return Component(
        name="kwok",
        argv=(
            str(binaries["kwok"]),
            f"--kubeconfig={layout.kubeconfig}",
            f"--manage-nodes-with-annotation-selector={FAKE_NODE_ANNOTATION}",
            f"--server-address={address}",
            "--cidr=10.80.0.0/16",  # never routed; only shown as the addresses of pods that do not run
            "--node-lease-duration-seconds=40",
        ),
        ready=lambda: answers(f"http://{address}/healthz"),
        listens=(address,),
    )

"""Plays (with kwok) the kubelet of nodes that do not exist, for benchmarks with a thousand pods."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attune_devcluster.build import module_folder
from attune_devcluster.components import Component, answers
from attune_devcluster.paths import Layout
from attune_devcluster.tools import KWOK

# Nodes with this annotation are played.
ANNOTATION = "kwok.x-k8s.io/node=fake"
# What the played nodes and pods do, from kwok's own files. Without its pod-complete: pods run until they are deleted,
# so that what is counted per run is counted at a standstill.
STAGES = (
    "node/fast/node-initialize.yaml",
    "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-delete.yaml",
)
ADDRESS = "127.0.0.1:10247"


def kwok(layout: Layout, binaries: Mapping[str, Path]) -> Component:
    """The controller of the fake nodes."""
    path = layout.config / "kwok-stages.yaml"
    folder = module_folder(KWOK) / "kustomize" / "stage"
    return Component(
        name="kwok",
        argv=(
            str(binaries["kwok"]),
            f"--kubeconfig={layout.kubeconfig}",
            f"--config={path}",
            f"--manage-nodes-with-annotation-selector={ANNOTATION}",
            "--cidr=10.80.0.0/16",  # never routed; only shown as the addresses of pods that do not run
            f"--server-address={ADDRESS}",
            "--node-lease-duration-seconds=40",
        ),
        ready=lambda: answers(f"http://{ADDRESS}/healthz"),
        listens=(ADDRESS,),
        configuration={path: "\n---\n".join((folder / stage).read_text() for stage in STAGES)},
    )

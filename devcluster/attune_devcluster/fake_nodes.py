"""Plays (with kwok) the kubelet of nodes that do not exist, for benchmarks with a thousand pods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from attune_devcluster.addresses import STANDING, Endpoints
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


def kwok(
    layout: Layout, binaries: Mapping[str, Path], at: Endpoints = STANDING, stages: Sequence[str] = ()
) -> Component:
    """The controller of the fake nodes.

    Args:
        layout: folders.
        binaries: of the cluster's programs.
        at: where they listen.
        stages: what pods do beside getting ready and going when they are deleted, as YAML documents.
    """
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
            f"--server-address={at.kwok}",
            "--node-lease-duration-seconds=40",
        ),
        ready=lambda: answers(f"http://{at.kwok}/healthz"),
        listens=(at.kwok,),
        configuration={path: "\n---\n".join([*((folder / stage).read_text() for stage in STAGES), *stages])},
    )

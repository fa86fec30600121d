"""Removes old versions of images from buildah, the registry and containerd of the devcluster."""

from __future__ import annotations

import json
import time

from attune_devcluster import components, image_memory, processes, services
from attune_devcluster.addresses import CONTAINERD_SOCKET, REGISTRY
from attune_devcluster.buildah import Buildah
from attune_devcluster.console import Step
from attune_devcluster.images import IMAGES, Image
from attune_devcluster.paths import Layout
from attune_devcluster.registry_api import Manifest, Registry, frees_much
from attune_devcluster.shell import output, run


def prune(layout: Layout) -> list[str]:
    """Remove versions that nobody has asked for within a day, except the newest and those that run.

    Returns:
        References of the versions that were removed.
    """
    registry = Registry(REGISTRY)
    present = {image: registry.manifests(image.repository) for image in IMAGES.values()}
    running = _running(layout)
    gone = {image: _superfluous(layout, image, manifests, running) for image, manifests in present.items()}
    removed = [manifest for manifests in gone.values() for manifest in manifests]
    if not removed:
        return []
    references = [f"{REGISTRY}/{manifest.repository}:{manifest.tag}" for manifest in removed]
    with Step(f"removing {len(references)} old versions of images"):
        for image, manifests in gone.items():
            for manifest in manifests:
                registry.delete(manifest)
                image_memory.forget(layout, image.name, manifest.tag)
        _remove_elsewhere(layout, references)
        kept = [manifest for manifests in present.values() for manifest in manifests if manifest not in removed]
        if frees_much(removed, kept):
            collect_garbage(layout)
    return references


def collect_garbage(layout: Layout) -> None:
    """Free the space of layers that no version in the registry needs; the registry must stand still for that."""
    programs = {"registry": layout.tools / "registry"}
    processes.stop(layout, "registry")
    settings = services.registry_configuration(layout)
    hint = "the registry could not collect its garbage; see the log"
    try:
        run([programs["registry"], "garbage-collect", settings], log=layout.logs / "registry-gc.log", hint=hint)
    finally:
        components.ensure(layout, [services.registry(layout, {"registry": programs["registry"].resolve()})])


def _superfluous(layout: Layout, image: Image, manifests: list[Manifest], running: frozenset[str]) -> list[Manifest]:
    remembered = image_memory.used(layout, image.name)
    tags = {manifest.tag: remembered.get(manifest.tag, 0.0) for manifest in manifests}
    in_use = frozenset(tag for tag in tags if f"{REGISTRY}/{image.repository}:{tag}" in running)
    old = image_memory.superfluous(tags, now=time.time(), in_use=in_use)
    return [manifest for manifest in manifests if manifest.tag in old]


def _running(layout: Layout) -> frozenset[str]:
    """Images of all pods and pod templates' containers that the API server knows."""
    text = output(
        ["kubectl", "--kubeconfig", layout.kubeconfig, "get", "pods,deployments", "--all-namespaces", "--output=json"]
    )
    items = json.loads(text)["items"] if text else []
    specs = [item["spec"]["template"]["spec"] if item["kind"] == "Deployment" else item["spec"] for item in items]
    return frozenset(container["image"] for spec in specs for container in spec["containers"])


def _remove_elsewhere(layout: Layout, references: list[str]) -> None:
    control = [str(layout.tools / "ctr"), "--address", CONTAINERD_SOCKET, "--namespace", "k8s.io", "images"]
    output([*control, "remove", *references])
    buildah = Buildah(layout)
    built = set(buildah.names())
    buildah.remove([reference for reference in references if reference in built], log=layout.logs / "buildah-prune.log")

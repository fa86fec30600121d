"""Removes old versions of images from buildah, the registry and containerd of the devcluster."""

from __future__ import annotations

import re
import time

from attune_devcluster import components, image_memory, processes, services
from attune_devcluster.addresses import CONTAINERD_SOCKET, REGISTRY
from attune_devcluster.buildah import Buildah
from attune_devcluster.console import Step
from attune_devcluster.image_memory import Policy
from attune_devcluster.images import IMAGES, Image
from attune_devcluster.paths import Layout
from attune_devcluster.registry_api import Manifest, Registry, frees_much
from attune_devcluster.shell import output, run


def prune(layout: Layout, kept: Policy) -> list[str]:
    """Remove versions that neither the policy keeps nor anything in the cluster names.

    Returns:
        References of the versions that were removed.
    """
    registry = Registry(REGISTRY)
    present = {image: registry.manifests(image.repository) for image in IMAGES.values()}
    in_use = _in_use(layout)
    gone = {image: _superfluous(layout, image, manifests, in_use, kept) for image, manifests in present.items()}
    removed = [manifest for manifests in gone.values() for manifest in manifests]
    if not removed:
        return []
    names = [f"{REGISTRY}/{manifest.repository}:{manifest.tag}" for manifest in removed]
    with Step(f"removing {len(names)} old versions of images"):
        for image, manifests in gone.items():
            for manifest in manifests:
                registry.delete(manifest)
                image_memory.forget(layout, image.name, manifest.tag)
        _remove_elsewhere(layout, names)
        remaining = [manifest for manifests in present.values() for manifest in manifests if manifest not in removed]
        if frees_much(removed, remaining):
            collect_garbage(layout)
    return names


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


def references(text: str) -> frozenset[str]:
    """References of our images that a text names, wherever it does."""
    return frozenset(re.findall(rf"{re.escape(REGISTRY)}/attune/[a-z]+:[0-9a-f]+", text))


def _superfluous(
    layout: Layout, image: Image, manifests: list[Manifest], in_use: frozenset[str], kept: Policy
) -> list[Manifest]:
    remembered = image_memory.used(layout, image.name)
    tags = {manifest.tag: remembered.get(manifest.tag, 0.0) for manifest in manifests}
    used = frozenset(tag for tag in tags if f"{REGISTRY}/{image.repository}:{tag}" in in_use)
    old = image_memory.superfluous(tags, now=time.time(), in_use=used, kept=kept)
    return [manifest for manifest in manifests if manifest.tag in old]


def _in_use(layout: Layout) -> frozenset[str]:
    """Images that pods and what makes pods name; our own resources are there only once the chart is installed."""
    kinds = ("pods", "jobs.batch", "deployments.apps", "tuningruntimes.attune.dev")
    get = ["kubectl", "--kubeconfig", str(layout.kubeconfig), "get", "--all-namespaces", "--output=json"]
    return references("".join(output([*get, kind]) or "" for kind in kinds))


def _remove_elsewhere(layout: Layout, names: list[str]) -> None:
    control = [str(layout.tools / "ctr"), "--address", CONTAINERD_SOCKET, "--namespace", "k8s.io", "images"]
    output([*control, "remove", *names])
    buildah = Buildah(layout)
    built = set(buildah.names())
    buildah.remove([name for name in names if name in built], log=layout.logs / "buildah-prune.log")

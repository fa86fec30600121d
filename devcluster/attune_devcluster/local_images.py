"""Images without docker: built by buildah, pushed to a registry, pulled by containerd."""

from __future__ import annotations

import os
from pathlib import Path

from attune_devcluster import base_image, packages, pip_settings
from attune_devcluster.buildah import Buildah
from attune_devcluster.images import Base, Image, Planned
from attune_devcluster.paths import REPOSITORY, Layout
from attune_devcluster.registry_api import Registry


class BuildahBuilder:
    """Builds with buildah and pushes to a registry that speaks plain HTTP and asks for no credentials.

    Args:
        layout: folders.
        registry: `host:port` or `host:port/prefix`.
    """

    def __init__(self, layout: Layout, registry: str) -> None:
        packages.ensure(layout, packages.IMAGE_PACKAGES)
        self._layout = layout
        self._address = registry
        self._registry = Registry(registry)
        self._buildah = Buildah(layout)

    def base(self) -> Base:
        """Pulls or makes the base image, once."""
        return Base(*base_image.ensure(self._layout, self._buildah))

    def digest(self, image: Image, tag: str) -> str | None:
        """Asks the registry."""
        return self._registry.digest(image.repository, tag)

    def reference(self, image: Image, tag: str) -> str:
        """`<registry>/attune/<name>:<tag>`."""
        return f"{self._address}/{image.repository}:{tag}"

    def build(self, planned: Planned, context: Path, base: Base, log: Path) -> None:
        """Builds with this machine's pip settings mounted into the build."""
        settings = pip_settings.gather(os.environ, pip_settings.read_configuration())
        self._buildah.build(
            context,
            REPOSITORY / planned.image.dockerfile,
            target=planned.image.target,
            name=self.reference(planned.image, planned.tag),
            arguments={"BASE_IMAGE": base.name},
            mounts=settings.mounts(self._layout.images / "pip"),
            log=log,
        )

    def push(self, planned: Planned, log: Path) -> None:
        """Pushes the layers that the registry lacks."""
        reference = self.reference(planned.image, planned.tag)
        self._buildah.push(reference, reference, log=log)

"""Images with docker: for kind, and for a cluster that exists."""

from __future__ import annotations

import json
import os
from pathlib import Path

from attune_devcluster.images import Base, Image, Planned
from attune_devcluster.paths import REPOSITORY
from attune_devcluster.shell import output, run

BASE = "python:3.11-slim"
# Dockerfiles may declare these with ARG; docker has no way to mount a folder into a build.
HANDED_ON = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")


class DockerBuilder:
    """Builds with docker and pushes to a registry that docker may use.

    Args:
        registry: `host:port` or `host/prefix`.
    """

    def __init__(self, registry: str) -> None:
        self._registry = registry

    def base(self) -> Base:
        """The published image; docker pulls it when it builds."""
        return Base(BASE, BASE)

    def digest(self, image: Image, tag: str) -> str | None:
        """Asks the registry, with docker's credentials for it."""
        text = output(["docker", "manifest", "inspect", "--insecure", "--verbose", self.reference(image, tag)])
        if text is None:
            return None
        found = json.loads(text)
        first = found[0] if isinstance(found, list) else found
        digest: str = first["Descriptor"]["digest"]
        return digest

    def reference(self, image: Image, tag: str) -> str:
        """`<registry>/attune/<name>:<tag>`."""
        return f"{self._registry}/{image.repository}:{tag}"

    def build(self, planned: Planned, context: Path, base: Base, log: Path) -> None:
        """Builds; docker caches layers."""
        target = ["--target", planned.image.target] if planned.image.target else []
        values = {"BASE_IMAGE": base.name, **{name: os.environ[name] for name in HANDED_ON if os.environ.get(name)}}
        arguments = [part for name, value in values.items() for part in ("--build-arg", f"{name}={value}")]
        file = [
            "--file",
            str(REPOSITORY / planned.image.dockerfile),
            "--tag",
            self.reference(planned.image, planned.tag),
        ]
        run(["docker", "build", *target, *arguments, *file, context], log=log, hint=f"see {log}")

    def push(self, planned: Planned, log: Path) -> None:
        """Pushes the layers that the registry lacks."""
        hint = f"see {log}; `docker login` may be needed for {self._registry}"
        run(["docker", "push", self.reference(planned.image, planned.tag)], log=log, hint=hint)

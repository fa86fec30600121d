"""Builds images without docker: buildah, with a storage of its own below the cache root."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from attune_devcluster import files
from attune_devcluster.paths import Layout
from attune_devcluster.shell import output, run

# zstd at its fastest takes a fraction of gzip's time on gigabytes of libraries, and containerd reads it.
COMPRESSION = ("--compression-format", "zstd", "--compression-level", "1")
EMPTY_POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'


class Buildah:
    """buildah's commands, as far as they are needed.

    Args:
        layout: folders.
    """

    def __init__(self, layout: Layout) -> None:
        self._policy = layout.images / "policy.json"
        self._storage = [
            *("--root", str(layout.images / "storage")),
            *("--runroot", str(layout.images / "storage-run")),
            *("--storage-driver", "overlay"),
        ]

    def build(
        self,
        context: Path,
        dockerfile: Path,
        *,
        target: str | None,
        name: str,
        arguments: Mapping[str, str],
        mounts: Sequence[str],
        log: Path,
    ) -> None:
        """Build one target. Layers are cached, so a changed file costs the layers from it on upwards."""
        self._run(
            log,
            "build",
            *("--isolation", "chroot", "--network", "host", "--layers", "--format", "oci", "--pull=never"),
            *(part for key, value in arguments.items() for part in ("--build-arg", f"{key}={value}")),
            *(part for mount in mounts for part in ("--volume", mount)),
            *(("--target", target) if target else ()),
            *("--file", str(dockerfile), "--tag", name, str(context)),
        )

    def push(self, name: str, reference: str, *, log: Path) -> None:
        """Push an image to the local registry; only layers that it lacks travel."""
        self._run(log, "push", "--tls-verify=false", "--quiet", *COMPRESSION, name, f"docker://{reference}")

    def pull(self, name: str, *, log: Path, seconds: float) -> None:
        """Pull an image from its registry."""
        self._run(log, "pull", "--quiet", f"docker://{name}", seconds=seconds)

    def image_id(self, name: str) -> str | None:
        """The id of an image in the storage; None where it is not there."""
        text = output(["buildah", *self._storage, "images", "--quiet", "--no-trunc", "--filter", f"reference={name}"])
        return text.split()[0] if text and text.split() else None

    def names(self) -> list[str]:
        """Names of all images in the storage."""
        text = output(["buildah", *self._storage, "images", "--format", "{{.Name}}:{{.Tag}}"]) or ""
        return [line for line in text.split() if not line.startswith("<none>")]

    def remove(self, names: Sequence[str], *, log: Path) -> None:
        """Remove images, layers that no image needs any longer, and what builds that were cut short left."""
        output(["buildah", *self._storage, "rm", "--all"])
        if names:
            self._run(log, "rmi", *names)
        self._run(log, "rmi", "--prune")

    def image_from_folder(self, root: Path, name: str, *, log: Path) -> None:
        """Make an image with one layer from a folder."""
        container = f"attune-{root.name}"
        output(["buildah", *self._storage, "rm", container])
        self._run(log, "from", "--name", container, "scratch")
        self._run(log, "add", "--quiet", container, str(root), "/")
        path = "PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"
        self._run(log, "config", "--env", path, "--env", "LANG=C.UTF-8", "--cmd", "python3", container)
        self._run(log, "commit", "--quiet", "--rm", container, name)

    def _run(self, log: Path, command: str, *arguments: str, seconds: float | None = None) -> None:
        # A policy of our own: not every distribution installs one with buildah.
        policy: tuple[str, ...] = ()
        if command in {"build", "push", "pull", "commit", "from"}:
            if not self._policy.exists():
                files.write(self._policy, EMPTY_POLICY)
            policy = ("--signature-policy", str(self._policy))
        hint = f"see {log}; the same command shows it again"
        run(["buildah", *self._storage, command, *policy, *arguments], log=log, hint=hint, timeout=seconds)

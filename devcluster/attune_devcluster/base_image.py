"""The image that ours start from: python:3.11-slim, or the like of it made on this machine.

Where no registry can be reached, debootstrap makes a Debian with Python 3.11 and pip that behaves the same for our
Dockerfiles.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

from attune_devcluster.buildah import Buildah
from attune_devcluster.console import Step, say
from attune_devcluster.errors import ClusterError
from attune_devcluster.paths import Layout
from attune_devcluster.shell import run

PUBLISHED = "docker.io/library/python:3.11-slim"
PULL_SECONDS = 90
SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3", "python3-pip", "python3-venv")
# Debian marks its Python as managed by apt, so that pip refuses; the published image does not.
REMOVED = (
    "usr/lib/python3.11/EXTERNALLY-MANAGED",
    "var/cache/apt",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/man",
    "var/log",
)
RECIPE = 2


def ensure(layout: Layout, buildah: Buildah) -> tuple[str, str]:
    """Make sure that a base image is in buildah's storage.

    Returns:
        Its name, and an id that changes with its content.

    Raises:
        ClusterError: it could be neither pulled nor made.
    """
    made = f"localhost/attune-python:{_recipe_key()}"
    for name in (PUBLISHED, made):
        identifier = buildah.image_id(name)
        if identifier is not None:
            return name, _recipe_key() if name == made else identifier
    if _pulled(layout, buildah):
        return ensure(layout, buildah)
    say(f"{PUBLISHED}: no registry to pull it from; making a base image from Debian packages instead")
    with Step(f"making base image {made} with debootstrap"):
        _make(layout, buildah, made)
    return made, _recipe_key()


def debian_mirror(sources: str) -> str | None:
    """The mirror that this machine's apt uses for Debian itself; None where its sources name none.

    Args:
        sources: content of its source files, in the one-line style or deb822 (sources.list(5)).
    """
    found = re.search(r"(?m)^(?:URIs:\s*|deb\s+(?:\[[^\]]*\]\s+)?)(https?://\S+/debian)/?(?:\s|$)", sources)
    return found[1] if found else None


def _recipe_key() -> str:
    return hashlib.sha256(repr((SUITE, PACKAGES, REMOVED, RECIPE)).encode()).hexdigest()[:12]


def _pulled(layout: Layout, buildah: Buildah) -> bool:
    try:
        with Step(f"pulling {PUBLISHED}"):
            buildah.pull(PUBLISHED, log=layout.logs / "pull-base.log", seconds=PULL_SECONDS)
    except ClusterError:
        return False
    return True


def _make(layout: Layout, buildah: Buildah, name: str) -> None:
    root = layout.images / "debootstrap"
    log = layout.logs / "debootstrap.log"
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    mirror = debian_mirror(_apt_sources())
    included = f"--include={','.join(PACKAGES)}"
    arguments = ["debootstrap", "--variant=minbase", included, SUITE, str(root), *([mirror] if mirror else [])]
    run(arguments, log=log, hint=f"see {root}/debootstrap/debootstrap.log; is a Debian mirror within reach?")
    for path in REMOVED:
        _remove(root / path)
    for folder in ("var/log", "var/lib/apt/lists"):
        (root / folder).mkdir(parents=True)
    (root / "usr/bin/python").symlink_to("python3")
    buildah.image_from_folder(root, name, log=layout.logs / "base-image.log")
    shutil.rmtree(root)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _apt_sources() -> str:
    folder = Path("/etc/apt")
    paths = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    return "\n".join(path.read_text(errors="replace") for path in paths if path.is_file())

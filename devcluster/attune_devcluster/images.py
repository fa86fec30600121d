"""Our images: which there are, what each is made of, and getting them to where the cluster pulls them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from attune_devcluster import build_context, dockerfile, image_memory
from attune_devcluster.console import Step
from attune_devcluster.errors import ClusterError
from attune_devcluster.paths import REPOSITORY, Layout


@dataclass(frozen=True)
class Image:
    """One image of ours.

    Attributes:
        name: last part of its repository's name.
        dockerfile: path in this checkout; the build context is the checkout's root.
        target: the Dockerfile's target; None for its last stage.
    """

    name: str
    dockerfile: str
    target: str | None = None

    @property
    def repository(self) -> str:
        """Its name in a registry."""
        return f"attune/{self.name}"


IMAGES = {
    image.name: image
    for image in (
        Image("operator", "operator/Dockerfile"),
        Image("data", "trainer-image/Dockerfile", "data"),
        Image("trainer", "trainer-image/Dockerfile", "trainer"),
    )
}


@dataclass(frozen=True)
class Planned:
    """An image as this checkout would make it.

    Attributes:
        image: which.
        paths: the files of the build context that go into it.
        tag: hash of these files, the Dockerfile and the base image.
    """

    image: Image
    paths: tuple[Path, ...]
    tag: str


@dataclass(frozen=True)
class Base:
    """The image that ours start from: its name for the build, and what changes with its content."""

    name: str
    identity: str


class Builder(Protocol):
    """A way to build images and to bring them to the cluster."""

    def base(self) -> Base:
        """Makes sure that the base image is there."""

    def digest(self, image: Image, tag: str) -> str | None:
        """The digest of a version that the cluster can pull already; None where it cannot."""

    def reference(self, image: Image, tag: str) -> str:
        """What a pod's `image:` says."""

    def build(self, planned: Planned, context: Path, base: Base, log: Path) -> None:
        """Builds from a laid-out context."""

    def push(self, planned: Planned, log: Path) -> None:
        """Brings the built image to where the cluster pulls from."""


def select(names: Iterable[str]) -> list[Image]:
    """The images of these names, all of them for none.

    Raises:
        ClusterError: an unknown name.
    """
    wanted = list(names) or list(IMAGES)
    unknown = [name for name in wanted if name not in IMAGES]
    if unknown:
        raise ClusterError(f"no such image: {', '.join(unknown)}", hint=f"there are: {', '.join(IMAGES)}")
    return [IMAGES[name] for name in wanted]


def plan(image: Image, base: Base, root: Path = REPOSITORY) -> Planned:
    """What the image is made of in this checkout.

    Raises:
        ClusterError: its Dockerfile is missing, or copies what is not there.
    """
    try:
        text = (root / image.dockerfile).read_text()
        sources = dockerfile.sources(text, image.target)
    except (OSError, LookupError) as error:
        raise ClusterError(f"{image.dockerfile}: {error}", hint="mend the Dockerfile") from error
    paths = build_context.collect(root, sources)
    inputs = {"dockerfile": text, "target": image.target or "", "base": base.identity}
    return Planned(image, tuple(paths), build_context.digest(root, paths, inputs))


def ensure(layout: Layout, builder: Builder, chosen: Iterable[Image]) -> bool:
    """Build and push what the cluster cannot pull yet.

    Returns:
        Whether anything was built.
    """
    base = builder.base()
    plans = [plan(image, base) for image in chosen]
    absent = [planned for planned in plans if builder.digest(planned.image, planned.tag) is None]
    for number, planned in enumerate(absent, start=1):
        _make(layout, builder, planned, base, f"[{number}/{len(absent)}]")
    for planned in plans:
        image_memory.touch(layout, planned.image.name, planned.tag)
    return bool(absent)


def listing(builder: Builder, chosen: Iterable[Image]) -> dict[str, Mapping[str, str | None]]:
    """For each image: its reference as this checkout would make it, and its digest where it was made."""
    base = builder.base()
    plans = [plan(image, base) for image in chosen]
    return {
        planned.image.name: {
            "reference": builder.reference(planned.image, planned.tag),
            "repository": builder.reference(planned.image, planned.tag).rpartition(":")[0],
            "tag": planned.tag,
            "digest": builder.digest(planned.image, planned.tag),
        }
        for planned in plans
    }


def _make(layout: Layout, builder: Builder, planned: Planned, base: Base, prefix: str) -> None:
    name = planned.image.name
    context = layout.images / "context" / name
    build_context.lay_out(REPOSITORY, planned.paths, context)
    with Step(f"building image {name}", prefix=prefix):
        builder.build(planned, context, base, layout.logs / f"image-{name}.log")
    with Step(f"loading image {name} into the cluster", prefix=prefix):
        builder.push(planned, layout.logs / f"push-{name}.log")
    shutil.rmtree(context)

"""Remembers which versions of images were used when, and says which may go: an 80 GB disk must hold.

A version is an empty file `<name>/<tag>` whose time says when it was last asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attune_devcluster.paths import Layout

KEPT_SECONDS = 24 * 3600
KEPT_VERSIONS = 3


def touch(layout: Layout, name: str, tag: str) -> None:
    """Note that a version was asked for now."""
    path = _folder(layout) / name / tag
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def used(layout: Layout, name: str) -> dict[str, float]:
    """When each version of an image was last asked for, in seconds since 1970."""
    folder = _folder(layout) / name
    return {path.name: path.stat().st_mtime for path in folder.iterdir()} if folder.is_dir() else {}


def forget(layout: Layout, name: str, tag: str) -> None:
    """Forget a version that was removed."""
    (_folder(layout) / name / tag).unlink(missing_ok=True)


def superfluous(tags: Mapping[str, float], *, now: float, in_use: frozenset[str]) -> list[str]:
    """Versions that may be removed: not in use, not asked for within a day, and not among the newest three.

    Args:
        tags: when each was last asked for, in seconds since 1970.
        now: in seconds since 1970.
        in_use: tags that pods have now.
    """
    newest = sorted(tags, key=lambda tag: tags[tag], reverse=True)[:KEPT_VERSIONS]
    return sorted(
        tag for tag, last in tags.items() if tag not in newest and tag not in in_use and now - last > KEPT_SECONDS
    )


def _folder(layout: Layout) -> Path:
    return layout.images / "versions"

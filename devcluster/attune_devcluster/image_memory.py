"""Remembers which versions of images were used when, and says which may go: an 80 GB disk must hold.

A version is an empty file `<name>/<tag>` whose time says when it was last asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from attune_devcluster.paths import Layout


@dataclass(frozen=True)
class Policy:
    """What is kept: so many newest versions, and all that were asked for within so many seconds."""

    versions: int
    seconds: float


# After each build: today's versions may be wanted again, by a colleague's checkout or after a `git checkout`.
GENEROUS = Policy(versions=3, seconds=24 * 3600)
# When a person asks, or when the disk is nearly full.
TIGHT = Policy(versions=1, seconds=0)
FREE_BYTES_WANTED = 15 * 1024**3


def policy(free_bytes: int) -> Policy:
    """The policy for a disk with so much free space; a version of the trainer takes up to 20 GB in all places."""
    return GENEROUS if free_bytes >= FREE_BYTES_WANTED else TIGHT


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


def superfluous(tags: Mapping[str, float], *, now: float, in_use: frozenset[str], kept: Policy) -> list[str]:
    """Versions that may be removed: neither in use nor kept by the policy.

    Args:
        tags: when each was last asked for, in seconds since 1970.
        now: in seconds since 1970.
        in_use: tags that something in the cluster names.
        kept: the policy.
    """
    newest = sorted(tags, key=lambda tag: tags[tag], reverse=True)[: kept.versions]
    return sorted(
        tag for tag, last in tags.items() if tag not in newest and tag not in in_use and now - last > kept.seconds
    )


def _folder(layout: Layout) -> Path:
    return layout.images / "versions"

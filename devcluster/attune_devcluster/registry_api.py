"""The few requests to an image registry that are needed (OCI distribution specification 1.1)."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
BIG_LAYER_BYTES = 50 * 1024 * 1024


@dataclass(frozen=True)
class Manifest:
    """One version of an image in the registry.

    Attributes:
        repository: for instance `attune/trainer`.
        tag: its tag.
        digest: `sha256:…`.
        layers: size in bytes of each layer, by digest.
    """

    repository: str
    tag: str
    digest: str
    layers: dict[str, int]


class Registry:
    """A registry that speaks plain HTTP.

    Args:
        address: `host:port`, or `host:port/prefix` where repositories lie below a prefix.
    """

    def __init__(self, address: str) -> None:
        host, _, prefix = address.partition("/")
        self._root = "/".join(part for part in (f"http://{host}/v2", prefix) if part)
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def digest(self, repository: str, tag: str) -> str | None:
        """The digest behind a tag; None where there is no such tag, or no registry."""
        try:
            headers, _ = self._request("HEAD", f"{repository}/manifests/{tag}")
        except OSError:
            return None
        return headers.get("Docker-Content-Digest")

    def manifests(self, repository: str) -> list[Manifest]:
        """All tagged versions of an image."""
        try:
            _, body = self._request("GET", f"{repository}/tags/list")
        except urllib.error.HTTPError:
            return []
        return [self._manifest(repository, tag) for tag in json.loads(body).get("tags") or []]

    def delete(self, manifest: Manifest) -> None:
        """Delete a version; its layers stay until the registry's garbage collection."""
        self._request("DELETE", f"{manifest.repository}/manifests/{manifest.digest}")

    def _manifest(self, repository: str, tag: str) -> Manifest:
        headers, body = self._request("GET", f"{repository}/manifests/{tag}")
        layers = {layer["digest"]: int(layer["size"]) for layer in json.loads(body).get("layers", [])}
        return Manifest(repository, tag, headers["Docker-Content-Digest"], layers)

    def _request(self, method: str, path: str) -> tuple[dict[str, str], bytes]:
        address = f"{self._root}/{path}"
        headers = {"Accept": ", ".join(MANIFEST_TYPES)}
        request = urllib.request.Request(address, method=method, headers=headers)  # noqa: S310  http, by construction
        with self._opener.open(request, timeout=10) as response:
            return _headers(response), response.read()


def frees_much(deleted: Iterable[Manifest], kept: Iterable[Manifest]) -> bool:
    """Whether a big layer is left that no version needs: only then is a garbage collection worth the restart."""
    needed = {digest for manifest in kept for digest in manifest.layers}
    orphans = {digest: size for manifest in deleted for digest, size in manifest.layers.items() if digest not in needed}
    return sum(orphans.values()) > BIG_LAYER_BYTES


def _headers(response: Any) -> dict[str, str]:
    return dict(response.headers.items())

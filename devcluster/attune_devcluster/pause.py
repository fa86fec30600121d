"""The image of the container that holds a pod's namespaces: one static program, from scratch."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

from attune_devcluster.addresses import CONTAINERD_SOCKET
from attune_devcluster.paths import Layout
from attune_devcluster.shell import output, run

PAUSE_IMAGE = "localhost/attune-pause:1"
NOBODY = "65535:65535"


def archive(program: bytes, architecture: str) -> bytes:
    """A docker archive (manifest.json, configuration, one layer) with the program as its only file."""
    layer = _tar({"pause": (program, 0o755)})
    configuration = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": NOBODY},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE_IMAGE], "Layers": ["layer.tar"]}]
    return _tar(
        {
            "config.json": (json.dumps(configuration).encode(), 0o644),
            "layer.tar": (layer, 0o644),
            "manifest.json": (json.dumps(manifest).encode(), 0o644),
        }
    )


def ensure(layout: Layout, ctr: Path, program: Path, architecture: str) -> None:
    """Load the image into containerd, unless it is there already."""
    control = [str(ctr), "--address", CONTAINERD_SOCKET, "--namespace", "k8s.io", "images"]
    if PAUSE_IMAGE in (output([*control, "list", "--quiet"]) or "").splitlines():
        return
    path = layout.state / "pause.tar"
    path.write_bytes(archive(program.read_bytes(), architecture))
    run([*control, "import", path], log=layout.logs / "pause.log", hint="containerd refused the image; see its log")
    path.unlink()


def _tar(contents: dict[str, tuple[bytes, int]]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive_file:
        for name, (data, mode) in contents.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), mode
            archive_file.addfile(member, io.BytesIO(data))
    return stream.getvalue()

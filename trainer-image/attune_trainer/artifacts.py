"""What a stage leaves below its run, and what later stages take from there: always with digests, always verified."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attune_contract import layout, uris
from attune_contract.enums import Stage
from attune_contract.outcome import Artifact
from attune_trainer import digests
from attune_trainer.errors import DigestMismatchError, ObjectNotFoundError
from attune_trainer.storage.base import Store


@dataclass(frozen=True)
class RunFiles:
    """The run's own prefix, outside of which nothing is ever written.

    Args:
        store: the store of the output.
        root: URI of the run's prefix.
        stage: the stage that writes, recorded with each artifact.
    """

    store: Store
    root: str
    stage: Stage

    def uri(self, path: str) -> str:
        """The URI of a path relative to the run."""
        return uris.join(self.root, path)

    def put_bytes(self, path: str, data: bytes) -> Artifact:
        """Writes a small object."""
        self.store.put(self.uri(path), data)
        return Artifact(path=path, digest=digests.of_bytes(data), size_bytes=len(data), stage=self.stage)

    def put_json(self, path: str, value: Any) -> Artifact:
        """Writes a document that people may read: indented, keys in the order given."""
        return self.put_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())

    def put_file(self, path: str, source: Path) -> Artifact:
        """Writes an object from a local file."""
        self.store.put_file(self.uri(path), source)
        return Artifact(path=path, digest=digests.of_file(source), size_bytes=source.stat().st_size, stage=self.stage)

    def put_folder(self, path: str, source: Path) -> Artifact:
        """Writes all files of a local folder; `path` ends in `/`. A marker such as COMPLETE is the caller's to add."""
        return self.put_files(path, source)[0]

    def put_files(self, path: str, source: Path) -> tuple[Artifact, dict[str, str]]:
        """The same; and the digest of each file, for a marker that names them."""
        files = digests.of_files(source, digests.files_below(source))
        for name in files:
            self.store.put_file(self.uri(path) + "/" + name, source / name)
        size = sum((source / name).stat().st_size for name in files)
        artifact = Artifact(path=path, digest=digests.of_folder(files), size_bytes=size, stage=self.stage)
        return artifact, files

    def fetch(self, artifact: Artifact, target: Path) -> Path:
        """Copies an artifact, object or folder, to a local path.

        Raises:
            DigestMismatchError: it is missing, or not what the earlier stage left.
        """
        shutil.rmtree(target, ignore_errors=True)
        if artifact.path.endswith("/"):
            digest = self._fetch_folder(artifact, target)
        else:
            digest = self._fetch_file(artifact, target)
        if digest != artifact.digest:
            raise DigestMismatchError(
                f"{self.uri(artifact.path)}: its digest is {digest}, and the {artifact.stage.value} stage left "
                f"{artifact.digest}: it was changed since. Start a new run; nothing may write below a run but the run."
            )
        return target

    def read_json(self, path: str) -> Any | None:
        """A document of this run, or None where there is none (or none that is JSON)."""
        try:
            return json.loads(self.store.read(self.uri(path)))
        except (ObjectNotFoundError, ValueError):
            return None

    def exists(self, artifact: Artifact) -> bool:
        """Whether an artifact is there in the size in which it was left."""
        try:
            if artifact.path.endswith("/"):
                return sum(size for _, size in self._members(artifact)) == artifact.size_bytes
            return self.store.head(self.uri(artifact.path)).size == artifact.size_bytes
        except ObjectNotFoundError:
            return False

    def _members(self, artifact: Artifact) -> list[tuple[str, int]]:
        prefix = self.uri(artifact.path) + "/"
        found = [(info.uri.removeprefix(prefix), info.size) for info in self.store.list(prefix)]
        return [(name, size) for name, size in found if name != layout.COMPLETE]

    def _fetch_folder(self, artifact: Artifact, target: Path) -> str:
        names = [name for name, _ in self._members(artifact)]
        for name in names:
            self.store.get(self.uri(artifact.path) + "/" + name, target / name)
        return digests.of_folder(digests.of_files(target, names))

    def _fetch_file(self, artifact: Artifact, target: Path) -> str:
        try:
            self.store.get(self.uri(artifact.path), target)
        except ObjectNotFoundError as error:
            raise DigestMismatchError(
                f"{self.uri(artifact.path)}: it is gone, and the {artifact.stage.value} stage had left it there. "
                "Start a new run."
            ) from error
        return digests.of_file(target)

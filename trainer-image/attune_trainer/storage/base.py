"""The one interface of a store, and what it tells of an object."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


@dataclass(frozen=True)
class ObjectInfo:
    """What a store says of one object without reading it."""

    uri: str
    size: int
    """Bytes."""
    etag: str
    """Changes when the object does; its form is the store's affair."""
    version: str | None = None
    """The store's own version id, where the bucket keeps versions."""


class Store(Protocol):
    """Objects by URI. Every method raises only errors of `attune_trainer.errors`."""

    def head(self, uri: str) -> ObjectInfo:
        """Looks at one object.

        Raises:
            ObjectNotFoundError, BucketNotFoundError, AccessDeniedError, StoreUnreachableError.
        """
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose URI starts with `prefix`, sorted by URI; nothing where there is none."""
        ...

    def folders(self, prefix: str) -> Iterator[str]:
        """Names right below a prefix that ends in `/` and have objects below themselves, sorted; not the objects."""
        ...

    def open(self, uri: str) -> BinaryIO:
        """One object as a stream that goes on where a broken connection left off."""
        ...

    def read(self, uri: str) -> bytes:
        """One small object, whole."""
        ...

    def get(self, uri: str, path: Path) -> None:
        """Copies one object to a local file, whose folder is made."""
        ...

    def put(self, uri: str, data: bytes) -> None:
        """Writes one small object; readers see the old or the new one, never a part."""
        ...

    def put_file(self, uri: str, path: Path) -> None:
        """Writes one object from a local file of any size; readers never see a part."""
        ...

    def delete(self, uri: str) -> None:
        """Removes one object; it is no error if it is not there."""
        ...

    def drop_uploads(self, prefix: str) -> None:
        """Removes the parts of large objects below a prefix that never became whole: no listing shows them."""
        ...

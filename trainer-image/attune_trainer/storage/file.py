"""Folders as a store: for laptops (`file://`) and mounted volumes. Same behaviour as S3, as far as a stage can tell."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import quote

from attune_contract import uris
from attune_trainer.errors import AccessDeniedError, ObjectNotFoundError, StoreUnreachableError
from attune_trainer.storage.base import ObjectInfo


class FileStore:
    """`file:///absolute/path` URIs.

    Args:
        beat: told after each file that goes to or fro.
    """

    def __init__(self, beat: Callable[[], None] = lambda: None) -> None:
        self._beat = beat

    def head(self, uri: str) -> ObjectInfo:
        """See `Store.head`."""
        with _translated(uri):
            return _info(_path(uri), uri)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See `Store.list`. As in S3, the prefix need not end at a folder's boundary."""
        base, _, _ = prefix.rpartition("/")
        start, folder = str(_path(prefix)), _path(base)
        start += "/" if prefix.endswith("/") else ""
        with _translated(prefix):
            found = sorted(p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else []
            # Named below the prefix as it was given, so that callers may cut it off again.
            yield from (
                _info(p, f"{base}/{quote(str(p.relative_to(folder)))}") for p in found if str(p).startswith(start)
            )

    def folders(self, prefix: str) -> Iterator[str]:
        """See `Store.folders`. An empty folder is told too."""
        folder = _path(prefix)
        with _translated(prefix):
            yield from (sorted(quote(p.name) for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else ())

    def open(self, uri: str) -> BinaryIO:
        """See `Store.open`."""
        with _translated(uri):
            return cast("BinaryIO", _path(uri).open("rb"))

    def read(self, uri: str) -> bytes:
        """See `Store.read`."""
        with _translated(uri):
            return _path(uri).read_bytes()

    def get(self, uri: str, path: Path) -> None:
        """See `Store.get`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with _translated(uri):
            shutil.copyfile(_path(uri), path)
        self._beat()

    def put(self, uri: str, data: bytes) -> None:
        """See `Store.put`."""
        with _translated(uri), _replacing(_path(uri)) as temporary:
            temporary.write_bytes(data)

    def put_file(self, uri: str, path: Path) -> None:
        """See `Store.put_file`."""
        with _translated(uri), _replacing(_path(uri)) as temporary:
            shutil.copyfile(path, temporary)
        self._beat()

    def delete(self, uri: str) -> None:
        """See `Store.delete`."""
        with _translated(uri):
            _path(uri).unlink(missing_ok=True)

    def drop_uploads(self, prefix: str) -> None:
        """See `Store.drop_uploads`. Here they are files as any other, which `list` shows."""


def uri_of(path: Path) -> str:
    """The `file://` URI of an absolute path."""
    return "file://" + quote(str(path))


def _path(uri: str) -> Path:
    return Path(uris.parse(uri).path)


def _info(path: Path, uri: str) -> ObjectInfo:
    stat = path.stat()
    if not path.is_file():
        raise FileNotFoundError(path)
    return ObjectInfo(uri=uri, size=stat.st_size, etag=f"{stat.st_mtime_ns:x}-{stat.st_size:x}")


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary file that takes the place of `path` when all went well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _translated(uri: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise ObjectNotFoundError(f"{uri}: no such file") from error
    except PermissionError as error:
        raise AccessDeniedError(f"{uri}: {error.strerror}; check the file's owner and mode") from error
    except OSError as error:
        raise StoreUnreachableError(f"{uri}: {error.strerror}") from error

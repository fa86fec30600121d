"""From the URIs of a dataset to the objects they mean: a file, a prefix, or a glob."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from attune_contract import uris
from attune_contract.enums import Role
from attune_trainer.data.problems import ProblemLog
from attune_trainer.errors import AccessDeniedError, BlockedError, ObjectNotFoundError
from attune_trainer.storage.base import ObjectInfo, Store
from attune_trainer.storage.resolve import Stores


@dataclass(frozen=True)
class DataFile:
    """One object with rows."""

    info: ObjectInfo
    store: Store
    field: str
    """The field that named it: `spec.dataset.train[0]`."""
    held_out: bool
    """Whether it was given as test data."""


@dataclass(frozen=True)
class Found:
    """What the dataset's URIs came to."""

    files: tuple[DataFile, ...]
    ignored: tuple[str, ...]
    """Objects below a prefix or glob that are no data files, such as a `_SUCCESS` marker."""


def find(
    stores: Stores, train: tuple[str, ...], test: tuple[str, ...], problems: ProblemLog, missing: list[BlockedError]
) -> Found:
    """Looks up every URI.

    Args:
        stores: opens the stores.
        train: URIs of spec.dataset.train.
        test: URIs of spec.dataset.test.
        problems: takes `object_not_found` and `access_denied` of single objects.
        missing: takes what a person must provide first: Secret, bucket, access.

    Returns:
        The objects, in the order of the URIs; within a prefix or glob, sorted.
    """
    files: list[DataFile] = []
    ignored: list[str] = []
    denied: list[tuple[str, BlockedError]] = []
    fields = [(f"spec.dataset.train[{i}]", uri, False) for i, uri in enumerate(train)]
    fields += [(f"spec.dataset.test[{i}]", uri, True) for i, uri in enumerate(test)]
    for field, uri, held_out in fields:
        try:
            store = stores.open(Role.DATA, uri)
            for info in _objects(store, uri, ignored):
                files.append(DataFile(info, store, field, held_out))  # noqa: PERF401 - errors may come in between
        except ObjectNotFoundError as error:
            problems.add_error(ObjectNotFoundError(f"{field}: {error}"), uri, "object_not_found")
        except AccessDeniedError as error:
            denied.append((uri, _named(error, field)))
        except BlockedError as error:
            missing.append(_named(error, field))
    _place_denials(denied, files, problems, missing)
    return Found(tuple(files), tuple(ignored))


def _place_denials(
    denied: list[tuple[str, BlockedError]],
    files: list[DataFile],
    problems: ProblemLog,
    missing: list[BlockedError],
) -> None:
    """Where the keys open other objects of the same bucket, one that they do not open is a problem of the data."""
    open_places = {_place(file.info.uri) for file in files}
    for uri, error in denied:
        if _place(uri) in open_places:
            problems.add_error(error, uri, "access_denied")
        else:
            missing.append(error)


def _place(uri: str) -> tuple[str, str]:
    parsed = uris.parse(uri)
    return parsed.scheme, parsed.authority


def _named(error: BlockedError, field: str) -> BlockedError:
    text = str(error)
    return error if text.startswith("spec.") else type(error)(f"{field}: {text}")


def _objects(store: Store, uri: str, ignored: list[str]) -> Iterator[ObjectInfo]:
    if not uris.is_pattern(uri) and not uri.endswith("/"):
        yield store.head(uri)
        return
    matches = glob_pattern(uri).fullmatch if uris.is_pattern(uri) else re.compile(".*", re.DOTALL).fullmatch
    prefix = re.split(r"[*?\[]", uri, maxsplit=1)[0]
    found = [info for info in store.list(prefix) if matches(info.uri) and not info.uri.endswith("/")]
    usable = [info for info in found if info.uri.endswith(uris.SUPPORTED_DATA_SUFFIXES)]
    ignored += [info.uri for info in found if info not in usable]
    if not usable:
        kinds = [suffix for suffix in uris.SUPPORTED_DATA_SUFFIXES if not suffix.endswith((".gz", ".zst"))]
        text = f"{uri}: nothing there ends in {', '.join(kinds[:-1])} or {kinds[-1]} (also .gz, .zst)"
        raise ObjectNotFoundError(text + (f"; {len(found)} objects of other kinds are there" if found else ""))
    for info in usable:
        yield _with_version(store, info)


def _with_version(store: Store, info: ObjectInfo) -> ObjectInfo:
    try:
        return store.head(info.uri)
    except AccessDeniedError:
        return replace(info, version=None)  # listing and reading are separate rights; reading will tell


def glob_pattern(pattern: str) -> re.Pattern[str]:
    """A glob over URIs as a regular expression: `*` and `?` stop at `/`, `**` does not, `[...]` is a set."""
    pieces = re.split(r"(\*\*|\*|\?|\[[^]]*\])", pattern)
    return re.compile("".join(_piece(piece) for piece in pieces), re.DOTALL)


def _piece(piece: str) -> str:
    if piece.startswith("[") and piece.endswith("]"):
        return "[" + piece[1:-1].replace("!", "^", 1).replace("\\", "\\\\") + "]"
    return {"**": ".*", "*": "[^/]*", "?": "[^/]"}.get(piece) or re.escape(piece)

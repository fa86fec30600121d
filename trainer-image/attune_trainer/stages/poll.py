"""Poll: which training data is there, and how much? Nothing is checked and nothing is written.

Listing tells whether anything changed; files are read only then, to count their rows.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from attune_contract.datafacts import DataFacts, KnownData
from attune_contract.outcome import Outcome
from attune_trainer import digests, support
from attune_trainer.context import Context
from attune_trainer.data import canonical, objects
from attune_trainer.data.files.opening import Opened, kind
from attune_trainer.data.files.stored import PackingError, Stored, unpacked
from attune_trainer.data.objects import DataFile
from attune_trainer.data.problems import ProblemLog
from attune_trainer.errors import BlockedError, InvalidDataError, blocked

_PIECE = 1 << 20
_LINES = frozenset({".jsonl"})


def run(context: Context) -> Outcome:
    """Lists the objects of spec.dataset.train, and counts their rows where they are not the ones known.

    Raises:
        BlockedError: a person must provide something: Secret, bucket, access.
        InvalidDataError: a file that the manifest names is not there.
    """
    support.demand(context.config)
    problems = ProblemLog(context.scratch / "problems.jsonl")
    missing: list[BlockedError] = []
    found = objects.find(context.stores, context.config.workload.dataset.train, (), problems, missing)
    if missing:
        raise blocked(missing)
    if problems.total:
        raise InvalidDataError(f"{problems.first[0].message} ({problems.summary()})")
    facts = facts_of(found.files, context.scratch, context.config.known_data)
    told = f"{facts.rows} rows in {facts.objects} objects, {facts.digest.removeprefix(digests.PREFIX)[:12]}."
    return context.outcome(told).model_copy(update={"data": facts})


def facts_of(files: Iterable[DataFile], scratch: Path, known: KnownData | None = None) -> DataFacts:
    """What there is. An object that is named twice counts once.

    Args:
        files: the objects.
        scratch: a folder for copies of files that cannot be streamed.
        known: what there was; where it is the same still, no file is read.
    """
    once = {file.info.uri: file for file in files}
    lines = sorted(f"{uri} {file.info.etag}\n" for uri, file in once.items())
    digest = digests.of_bytes("".join(lines).encode())
    is_known = known is not None and known.digest == digest
    return DataFacts(
        digest=digest,
        objects=len(once),
        rows=known.rows if known and is_known else sum(_rows(file, scratch) for file in once.values()),
        size_bytes=sum(file.info.size for file in once.values()),
    )


def _rows(file: DataFile, scratch: Path) -> int:
    """Rows of a file, good and bad: of JSON Lines the lines with something on them, of parquet what it says itself."""
    if kind(file.info.uri) in _LINES:
        with file.store.open(file.info.uri) as stream:
            try:
                return _lines(unpacked(Stored(stream), file.info.uri.lower()))
            except PackingError:
                return 0  # preflight says what is wrong with it
    if kind(file.info.uri) == ".parquet" and file.info.uri.lower().endswith(".parquet"):
        with tempfile.NamedTemporaryFile(dir=scratch, suffix=".parquet") as copy:
            file.store.get(file.info.uri, Path(copy.name))
            return _count(Path(copy.name))
    return sum(1 for record in Opened(file, scratch) if record.row is not None or record.part is not None)


def _count(path: Path) -> int:
    try:
        return canonical.count(path)
    except (OSError, ValueError):  # no parquet file; preflight says so
        return 0


def _lines(stream: BinaryIO) -> int:
    count, rest = 0, b""
    while piece := stream.read(_PIECE):
        *whole, rest = (rest + piece).split(b"\n")
        count += sum(1 for line in whole if line.strip())
    return count + bool(rest.strip())

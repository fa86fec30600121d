"""Recent rows: found, read once, those of the window kept, and of these as many as are looked at."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from attune_contract import quantities
from attune_contract.enums import Role
from attune_contract.monitoring import Look, Variant
from attune_contract.outcome import RowError
from attune_contract.spec import Workload
from attune_trainer.context import Context
from attune_trainer.data import canonical, detect, objects
from attune_trainer.data.check import Reader
from attune_trainer.data.objects import DataFile
from attune_trainer.data.problems import ProblemLog
from attune_trainer.data.quality import observer
from attune_trainer.errors import AccessDeniedError, BlockedError, InvalidDataError, ObjectNotFoundError, blocked
from attune_trainer.monitoring import dropped
from attune_trainer.monitoring.dropped import Told

FIELD = "spec.monitor.source"
_ELSEWHERE = "spec.dataset.train[0]"
_NO_FILES = "object_not_found"


@dataclass(frozen=True)
class Fresh:
    """Recent rows.

    Args:
        examples: those that are looked at, drawn by seed where there are more than that.
        told: what each says beside its format.
        rows: recent rows in all.
        answered: how many of all have the right answer.
        by_variant: recent rows in all by who answered.
        ratings: all ratings by who answered.
        invalid_rows: rows that cannot be read.
        problems: the first of what is wrong.
        files: how many files were read.
        learnt: how many of those that are looked at, with the right answer, a version has learnt.
    """

    examples: tuple[Any, ...]
    told: tuple[Told, ...]
    rows: int
    answered: int
    by_variant: Counter[Variant]
    ratings: dict[Variant, list[float]]
    invalid_rows: int
    problems: tuple[RowError, ...]
    files: int
    learnt: int = 0

    @property
    def labelled(self) -> tuple[Any, ...]:
        """Of those that are looked at, the ones with the right answer."""
        return tuple(e for e, told in zip(self.examples, self.told, strict=True) if told.answered)


NOTHING = Fresh((), (), 0, 0, Counter(), {}, 0, (), 0)
"""No rows at all."""


def held_out_by(look: Look) -> bool:
    """Whether the look is at rows that one of the versions' own runs held out, rather than at fresh ones."""
    return any(look.source.startswith(published.run_uri.rstrip("/") + "/") for published in look.variants)


def of_run(context: Context, look: Look, work: Workload) -> Fresh:
    """The rows that a run held out, as it left them.

    Args:
        context: of the stage.
        look: what is looked at: one parquet file of a run.
        work: of the champion, which must read such rows.

    Raises:
        InvalidDataError: its rows are of another kind.
    """
    kind, path = canonical.kind_of(work.method), context.scratch / "held-out.parquet"
    context.stores.open(Role.OUTPUT, look.source).get(look.source, path)
    if not canonical.is_of(path, kind):
        raise InvalidDataError(
            f"{look.source}: rows of {work.method.value} have {', '.join(kind.schema.names)}, and these do not: "
            "the two versions were taught by methods that read different rows, so no row can be put to both."
        )
    taken = sample(list(range(canonical.count(path))), look.max_rows, look.seed)
    rows = tuple(row for index, row in enumerate(canonical.read(path, kind)) if index in taken)
    count = canonical.count(path)
    return Fresh(rows, (Told(answered=True),) * len(rows), count, count, Counter(), {}, 0, (), 1)


def window_of(look: Look) -> tuple[datetime, datetime]:
    """From when to when rows are recent."""
    end = datetime.fromisoformat(look.at)
    return end - timedelta(seconds=quantities.seconds(look.window)), end


def read(context: Context, look: Look, work: Workload) -> Fresh:
    """Reads what applications dropped. That nothing is there yet is no error: then there are no rows.

    Args:
        context: of the stage.
        look: what is looked at.
        work: the champion's blocks: method, columns.

    Raises:
        BlockedError: a person must provide something: Secret, bucket, access.
    """
    folder = context.scratch / "fresh"
    folder.mkdir()
    problems = ProblemLog(folder / "problems.jsonl")
    start, end = window_of(look)
    files = [file for file in _find(context, look, problems) if _may_have(file, look, start, end)]
    work = work.model_copy(update={"dataset": work.dataset.model_copy(update={"train": (look.source,), "test": ()})})
    path = folder / "rows.parquet"
    reader = _read(files, work, problems, path, folder)
    return _chosen(reader, path, work, look, problems)


def _find(context: Context, look: Look, problems: ProblemLog) -> tuple[DataFile, ...]:
    missing: list[BlockedError] = []
    found = objects.find(context.stores, (look.source,), (), problems, missing)
    if missing:
        raise blocked([type(error)(str(error).replace(_ELSEWHERE, FIELD)) for error in missing])
    return found.files


def _may_have(file: DataFile, look: Look, start: datetime, end: datetime) -> bool:
    """Whether a file may have recent rows: one whose name has no day may always."""
    day = dropped.day_of(file.info.uri, look.source)
    return day is None or dropped.day_overlaps(day, start, end)


def _read(files: list[DataFile], work: Workload, problems: ProblemLog, path: Path, folder: Path) -> Reader:
    shape = dropped.shape_of(work, chain.from_iterable(_first(file, folder) for file in files))
    with canonical.Writer(path, canonical.kind_of(work.method)) as writer, ThreadPoolExecutor(1) as pool:
        reader = Reader(
            format=shape,
            measure=None,
            problems=problems,
            writer=writer,
            observer=observer.new(None),
            labels=None,
            scratch=folder,
            has_template=False,
            on_progress=lambda _: None,
            total_bytes=sum(file.info.size for file in files),
            pool=pool,
        )
        for file in files:
            reader.read(file)
    return reader


def _first(file: DataFile, folder: Path) -> list[dict[str, Any]]:
    try:
        return [row for _, row in detect.first_rows(file, folder)]
    except (AccessDeniedError, ObjectNotFoundError):
        return []  # told when the file is read


def _chosen(reader: Reader, path: Path, work: Workload, look: Look, problems: ProblemLog) -> Fresh:
    """Two passes: which rows are recent, then those that are looked at."""
    kind = canonical.kind_of(work.method)
    recent: list[int] = []
    answered = 0
    by_variant: Counter[Variant] = Counter()
    ratings: dict[Variant, list[float]] = {}
    start, end = window_of(look)
    for index, example in enumerate(canonical.read(path, kind)):
        told = Told.loads(example.slices)
        if not _is_recent(told, start, end):
            continue
        recent.append(index)
        answered += told.answered
        if told.variant is not None:
            by_variant[told.variant] += 1
            if told.rating is not None:
                ratings.setdefault(told.variant, []).append(told.rating)
    taken = sample(recent, look.max_rows, look.seed)
    rows = tuple(e for index, e in enumerate(canonical.read(path, kind)) if index in taken)
    return Fresh(
        examples=rows,
        told=tuple(Told.loads(row.slices) for row in rows),
        rows=len(recent),
        answered=answered,
        by_variant=by_variant,
        ratings=ratings,
        invalid_rows=sum(source.invalid_rows for source in reader.sources),
        problems=tuple(e for e in problems.first if e.code != _NO_FILES),
        files=len(reader.sources),
    )


def _is_recent(told: Told, start: datetime, end: datetime) -> bool:
    return told.moment is None or start.timestamp() <= told.moment < end.timestamp()


def sample(places: list[int], most: int, seed: int) -> frozenset[int]:
    """As many of them as wanted, by lot."""
    if len(places) <= most:
        return frozenset(places)
    return frozenset(np.random.default_rng(seed).choice(places, size=most, replace=False).tolist())

"""What there is to say of train, validation and test: duplicates, leaks, lengths, labels, what packing saves."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attune_contract.outcome import TokenFigures
from attune_trainer.data import canonical, split
from attune_trainer.data.kept import ON, TORN, Kept
from attune_trainer.data.quality.sensitive import masked_counts

CLOSED_SET = 64
"""Accuracy chooses among at most so many answers; scoring each costs a pass over the row."""
_LABELS_SHOWN = 20
_NOWHERE = 3
"""The side of rows that go into no file."""


@dataclass(frozen=True)
class Sides:
    """The parquet files and their figures."""

    train: Path
    validation: Path | None
    """The part of train that training looks at its own progress with; None where none is kept apart."""
    test: Path
    train_rows: int
    """Rows that are learnt."""
    validation_rows: int
    test_rows: int
    duplicate_rows: int
    leaked_rows: int
    repeated_test_rows: int
    """Held-out rows that repeat an earlier one, and are left out: asked twice, a model says the same twice, and what is
    counted twice looks twice as sure."""
    truncated_rows: int
    lengths: Counter[int]
    """How many rows of train have so many tokens."""
    answers: int
    """Distinct answers in train, counted up to CLOSED_SET + 1."""
    labels: tuple[Mapping[str, int], Mapping[str, int]]
    """Rows of train, and held-out rows, by label, most frequent first."""

    @property
    def tokens(self) -> TokenFigures:
        """The lengths in four numbers."""
        return token_figures(self.lengths)

    @property
    def labels_shown(self) -> dict[str, int]:
        """The most frequent labels of train, as they may be told."""
        return masked_counts(dict(list(self.labels[0].items())[:_LABELS_SHOWN]))


def part(
    spool: Path,
    kind: "canonical.Kind[Any]",
    kept: Kept,
    parts: split.Parts,
    *,
    folder: Path,
    limit: int | None,
    end: int = 0,
) -> Sides:
    """Writes train, validation and test from the checked rows, and counts what the report tells.

    Args:
        spool: all rows.
        kind: their kind.
        kept: what is remembered of them.
        parts: which of them are of test, and which of validation.
        folder: takes the files.
        limit: tokens beyond it are cut off; None where nothing is.
        end: tokens of an end-of-text, which a part of a document gets where the part after it is on the other side.
    """
    out, watched = _mask(parts.held_out), _mask(parts.validation)
    learnt = ~(out | watched)
    examples = _numbers(kept.examples)
    again = _again(examples, out)
    side = np.select([again, out, watched], [_NOWHERE, 2, 1])
    files = [folder / f"{name}.parquet" for name in ("train", "validation", "test")]
    canonical.part(spool, side, files, kind.schema)
    tokens = _numbers(kept.tokens) + end * _torn(kept, side)
    seen = np.unique(examples[~out])
    names = list(kept.labels)
    return Sides(
        train=files[0],
        validation=files[1] if watched.any() else None,
        test=files[2],
        train_rows=int(learnt.sum()),
        validation_rows=int(watched.sum()),
        test_rows=int((out & ~again).sum()),
        duplicate_rows=int((~out).sum()) - len(seen),
        leaked_rows=int(np.isin(examples[out], seen).sum()),
        repeated_test_rows=int(again.sum()),
        truncated_rows=int((tokens[learnt] > limit).sum()) if limit else 0,
        lengths=_counted(tokens[learnt]),
        answers=min(len(np.unique(_numbers(kept.answers)[learnt])), CLOSED_SET + 1),
        labels=(_by_label(kept, learnt, names), _by_label(kept, out & ~again, names)),
    )


def _again(examples: Any, out: Any) -> Any:
    """Which held-out rows repeat an earlier held-out one."""
    places = np.flatnonzero(out)
    _, first = np.unique(examples[places], return_index=True)
    found = np.zeros(len(out), dtype=bool)
    found[np.delete(places, first)] = True
    return found


def _torn(kept: Kept, side: Any) -> Any:
    """Which rows go on with a document of which the part before them is not in front of them on their side."""
    joins = np.frombuffer(bytes(kept.joins), dtype=np.uint8)
    other_side = np.concatenate([[False], side[1:] != side[:-1]]) if len(side) else side.astype(bool)
    return (joins == TORN) | ((joins == ON) & other_side)


def token_figures(lengths: Iterable[int]) -> TokenFigures:
    """Sum, median, 95th percentile (nearest rank) and maximum of some lengths, in tokens."""
    counts = lengths if isinstance(lengths, Counter) else Counter(lengths)
    rows = counts.total()
    if not rows:
        return TokenFigures()
    return TokenFigures(
        total=sum(length * n for length, n in counts.items()),
        p50=nearest_rank(counts, 50),
        p95=nearest_rank(counts, 95),
        max=max(counts),
    )


def nearest_rank(counts: Counter[int], percent: int) -> int:
    """The smallest length that at least so many percent of the rows do not exceed."""
    rank = -(-percent * counts.total() // 100)
    passed = 0
    for length in sorted(counts):
        passed += counts[length]
        if passed >= rank:
            return length
    raise ValueError("there are no rows")


def packed(lengths: Mapping[int, int], limit: int) -> int:
    """How many sequences packing makes: as `encoding.packing.pack` would, without doing it row by row.

    Args:
        lengths: number of rows by tokens.
        limit: tokens of a sequence; longer rows are cut to it.
    """
    rooms: Counter[int] = Counter()
    sizes: list[int] = []
    sequences = 0
    cut: Counter[int] = Counter()
    for length, rows in lengths.items():
        cut[min(length, limit)] += rows
    for length in sorted(cut, reverse=True):
        left = cut[length]
        while left and length:
            place = bisect_left(sizes, length)
            if place < len(sizes):
                room = sizes[place]
                number = rooms.pop(room)
                del sizes[place]
            else:
                room, number = limit, -(-left // (limit // length))
                sequences += number
            # Best fit goes on filling the sequence that it has just put something into.
            each = room // length
            filled = min(number, left // each)
            left -= filled * each
            _leave(rooms, sizes, room - each * length, filled)
            if filled < number:
                _leave(rooms, sizes, room - left * length, 1 if left else 0)
                _leave(rooms, sizes, room, number - filled - bool(left))
                left = 0
    return sequences


def _leave(rooms: Counter[int], sizes: list[int], room: int, number: int) -> None:
    if number and room:
        if room not in rooms:
            insort(sizes, room)
        rooms[room] += number


def _mask(chosen: bytearray) -> Any:
    return np.frombuffer(bytes(chosen), dtype=np.uint8).astype(bool)


def _numbers(column: Any) -> Any:
    return np.frombuffer(column, dtype=f"u{column.itemsize}") if len(column) else np.zeros(0, dtype="u8")


def _counted(values: Any) -> Counter[int]:
    lengths, counts = np.unique(values, return_counts=True)
    return Counter(dict(zip(lengths.tolist(), counts.tolist(), strict=True)))


def _by_label(kept: Kept, chosen: Any, names: list[str]) -> dict[str, int]:
    if not len(kept.strata):
        return {}
    counts = np.bincount(_numbers(kept.strata)[chosen], minlength=len(names))
    found = [(name, int(n)) for name, n in zip(names, counts, strict=True) if n]
    return dict(sorted(found, key=lambda pair: (-pair[1], pair[0])))

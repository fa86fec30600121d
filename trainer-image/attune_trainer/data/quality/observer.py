"""The observer of a dataset: sees every accepted row once, and concludes when it is known which rows are held out.

Its memory is bounded: some 18 bytes of each row, and what the searches in here state as their bounds.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from attune_contract.enums import DataWarning
from attune_contract.outcome import WarningCount
from attune_trainer.data.examples import Example
from attune_trainer.data.quality import labels as labels_
from attune_trainer.data.quality import near, overlap, texts, warnings, words
from attune_trainer.data.quality.keys import Keys, Twin
from attune_trainer.data.quality.scan import EXAMPLES, Scan, Tally
from attune_trainer.data.quality.sensitive import Search, masked_counts
from attune_trainer.data.quality.special import SpecialTokens

Locate = Callable[[int], tuple[str, int]]
"""File and line of a row, by its index."""
_BATCH = 1 << 16
"""Characters that are looked at in one go: they stay in the processor's cache."""
_PIECE = 1 << 15
"""Longer texts are looked at in pieces."""


@dataclass(frozen=True)
class QualityReport:
    """What there is to say of good rows.

    Attributes:
        warnings: in the order of the enumeration, counts and sentences.
        figures: for the report, as JSON: `quality` with what was looked at and found, `examples` by warning, each with
            file, line and note.
        labels: rows of train by label, most frequent first; empty where rows have none.
        leaks: rows of test that are in train exactly as they are, each with the first such row.
    """

    warnings: tuple[WarningCount, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    leaks: tuple[Twin, ...] = ()


@dataclass
class _Waiting:
    """Texts that wait for their batch."""

    texts: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    compared: list[bool] = field(default_factory=list)
    rests: dict[int, str] = field(default_factory=dict)
    """By row: text that is scanned and not compared."""
    size: int = 0

    def add(self, text: str, row: int, *, compared: bool) -> None:
        self.texts.append(text)
        self.rows.append(row)
        self.compared.append(compared)
        self.size += len(text)


@dataclass
class Observer:
    """Sees rows.

    Args:
        special: the tokenizer's control tokens.
    """

    special: SpecialTokens
    keys: Keys = field(default_factory=Keys)
    runs: overlap.Runs = field(default_factory=overlap.Runs)
    shingles: near.Shingles = field(default_factory=near.Shingles)
    labels: labels_.Labels = field(default_factory=labels_.Labels)
    seconds: float = 0.0
    """What the observer has cost so far, the search for near duplicates apart."""

    def __post_init__(self) -> None:
        self.scan = Scan(self.special)
        self._waiting = _Waiting()
        self._powers = words.Powers()

    def see(self, row: Example, index: int, held_out_hint: bool) -> None:
        """One accepted row.

        Args:
            row: of any kind.
            index: of the row, from 0, without gaps.
            held_out_hint: whether it is of a test file.
        """
        seen = texts.look(row)
        self.keys.add(seen.subject, seen.row)
        self.labels.add(row.stratum())
        compared = self.shingles.wants(test_file=held_out_hint)
        for piece in _pieces(seen.compared):
            self._waiting.add(piece, index, compared=compared)
        if seen.rest:
            self._waiting.rests[index] = seen.rest
        if self._waiting.size >= _BATCH:
            self._look()

    def conclude(self, held_out: bytearray, locate: Locate) -> QualityReport:
        """All there is to say.

        Args:
            held_out: one byte for each row that was seen, 1 where it is held out.
            locate: file and line of a row.
        """
        self._look()
        began, near_before = time.perf_counter(), self.shingles.seconds
        found = self._search(np.frombuffer(held_out, np.uint8) == 0)
        self.seconds += time.perf_counter() - began - (self.shingles.seconds - near_before)
        told = tuple(warning for warning in found.warnings(locate) if warning)
        figures = {"quality": found.figures() | self._costs(), "examples": found.examples(locate)}
        return QualityReport(told, figures, found.labels, tuple(found.leaks["exact"]))

    def _look(self) -> None:
        waiting, self._waiting = self._waiting, _Waiting()
        if not waiting.texts:
            return
        began, near_before = time.perf_counter(), self.shingles.seconds
        batch = words.batch(waiting.texts, self._powers)
        rows = np.array(waiting.rows)
        self.runs.add(batch, rows)
        self.shingles.add(batch, rows, np.array(waiting.compared))
        search = Search.within(batch.joined)
        for text, row, digits in zip(waiting.texts, waiting.rows, batch.digits().tolist(), strict=True):
            if row in waiting.rests:
                self.scan.look_again(row, waiting.rests.pop(row))
            self.scan.look(search, row, text, digits)
        self.seconds += time.perf_counter() - began - (self.shingles.seconds - near_before)

    def _search(self, train: npt.NDArray[np.bool_]) -> "_Found":
        pairs = [twin for twin in self.shingles.twins(train) if not self.keys.same(twin.row, twin.other)]
        exact = self.keys.repeats(train)
        repeated = {twin.row for twin in exact}
        return _Found(
            train_rows=int(train.sum()),
            labels=self.labels.counts(train),
            test_labels=self.labels.counts(~train),
            repeats=exact,
            near=_once(
                twin
                for twin in pairs
                if train[twin.row] and twin.row not in repeated and not self.keys.contradict(twin.row, twin.other)
            ),
            contradictions=self.keys.contradictions(train),
            leaks={
                "exact": self.keys.leaks(train),
                "thirteenWords": self.runs.shared(train),
                "near": _once(twin for twin in pairs if not train[twin.row]),
            },
            scanned=self.scan.of,
        )

    def _costs(self) -> dict[str, Any]:
        """What was looked at and what it took: where a search has a bound, it says so."""
        return {
            "nearDuplicateSearch": {
                "seconds": round(self.shingles.seconds, 3),
                "rows": self.shingles.rows,
                "rowsLeftOut": self.shingles.left_out,
                "upToRows": self.shingles.most_rows,
                "similarity": near.SIMILAR,
            },
            "thirteenWords": {"oneRunIn": self.runs.one_in},
            "exactSearch": {"rows": len(self.keys), "upToRows": self.keys.most},
            "otherSeconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class _Found:
    """What the searches found; rows by index."""

    train_rows: int
    labels: dict[str, int]
    test_labels: dict[str, int]
    repeats: list[Twin]
    near: list[Twin]
    contradictions: list[Twin]
    leaks: dict[str, list[Twin]]
    scanned: dict[DataWarning, Tally]

    @property
    def leaked(self) -> list[Twin]:
        """Rows of test that leaked in any way, each once."""
        first = {twin.row: twin for found in reversed(self.leaks.values()) for twin in reversed(found)}
        return [first[row] for row in sorted(first)]

    def warnings(self, locate: Locate) -> Iterator[WarningCount | None]:
        """A sentence for each, or None where there is nothing to warn of."""
        at = {code: [locate(row) for row, _, _ in rows[:1]] for code, rows in self._rows().items()}
        personal, secret, special = (self.scanned[code] for code in _SCANNED)
        yield warnings.duplicates(len(self.repeats), at[DataWarning.DUPLICATES])
        yield warnings.near_duplicates(len(self.near), at[DataWarning.NEAR_DUPLICATES])
        yield warnings.conflicting_duplicates(len(self.contradictions), at[DataWarning.CONFLICTING_DUPLICATES])
        yield warnings.leakage(len(self.leaked), at[DataWarning.LEAKAGE])
        ratio = labels_.ratio(self.labels)
        yield warnings.label_imbalance(self.labels, ratio) if ratio >= labels_.IMBALANCE else None
        yield warnings.few_rows(self.train_rows)
        yield warnings.personal_data(personal.rows, personal.kinds, at[DataWarning.PERSONAL_DATA])
        yield warnings.secrets(secret.rows, secret.kinds, at[DataWarning.SECRETS])
        yield warnings.special_tokens(special.rows, list(special.kinds), at[DataWarning.SPECIAL_TOKENS])

    def examples(self, locate: Locate) -> dict[str, list[dict[str, Any]]]:
        """The first rows of each warning: file, line, and the other row or the kind of what was found."""
        made: dict[str, list[dict[str, Any]]] = {}
        for code, rows in self._rows().items():
            for row, kind, other in rows:
                file, line = locate(row)
                with_ = dict(zip(("file", "line"), locate(other), strict=True)) if other is not None else None
                example = {"file": file, "line": line, "note": kind} | ({"with": with_} if with_ else {})
                made.setdefault(code.value, []).append(example)
        return made

    def figures(self) -> dict[str, Any]:
        """Counts beyond those of the warnings."""
        return {
            "leakage": {name: len(found) for name, found in self.leaks.items()},
            "labels": {"train": masked_counts(self.labels), "test": masked_counts(self.test_labels)}
            if self.labels or self.test_labels
            else {},
            "labelRatio": round(labels_.ratio(self.labels), 2),
            "sensitive": {name: n for code in _SCANNED[:2] for name, n in self.scanned[code].kinds.items()},
            "specialTokens": dict(self.scanned[DataWarning.SPECIAL_TOKENS].kinds.most_common(EXAMPLES)),
        }

    def _rows(self) -> dict[DataWarning, list[tuple[int, str, int | None]]]:
        twins = {
            DataWarning.DUPLICATES: ("the same as", self.repeats),
            DataWarning.NEAR_DUPLICATES: ("nearly the same as", self.near),
            DataWarning.CONFLICTING_DUPLICATES: ("contradicts", self.contradictions),
            DataWarning.LEAKAGE: ("in train as", self.leaked),
        }
        made: dict[DataWarning, list[tuple[int, str, int | None]]] = {
            code: [(twin.row, note, twin.other) for twin in found[:EXAMPLES]] for code, (note, found) in twins.items()
        }
        return made | {code: [(row, kind, None) for row, kind in self.scanned[code].first] for code in _SCANNED}


_SCANNED = (DataWarning.PERSONAL_DATA, DataWarning.SECRETS, DataWarning.SPECIAL_TOKENS)


def new(tokenizer: Any | None) -> Observer:
    """An observer of one dataset. All of a row is looked at, also what training would cut off: the file is the user's.

    Args:
        tokenizer: the model's; None where there is none, and then no control tokens are looked for.
    """
    return Observer(SpecialTokens.of(tokenizer))


def _once(twins: Iterable[Twin]) -> list[Twin]:
    """Each row once, in order, with the first row that it has to do with."""
    first: dict[int, Twin] = {}
    for twin in twins:
        first.setdefault(twin.row, twin)
    return [first[row] for row in sorted(first)]


def _pieces(text: str) -> Iterator[str]:
    """A long text in pieces, cut at a white space where there is one near."""
    start = 0
    while len(text) - start > _PIECE:
        cut = max(text.rfind(" ", start + _PIECE // 2, start + _PIECE), text.rfind("\n", start, start + _PIECE))
        end = cut + 1 if cut > start else start + _PIECE
        yield text[start:end]
        start = end
    yield text[start:] if start else text

"""The file of what people said: votes between two answers, or ratings of each, as JSON lines or CSV.

    {"rowID": "s3://data/test.jsonl#3", "person": "ann", "prefers": "tuned"}             a vote: tuned, base or tie
    {"rowID": "s3://data/test.jsonl#3", "person": "ann", "prefers": "tie", "over": "prompted"}
    {"rowID": "s3://data/test.jsonl#3", "person": "ann", "model": "base", "rating": 4}    a rating: 1 to 5

Row ids are those of predictions.jsonl: the file that the row is from, `#`, and its line. A file has votes or ratings,
not both.
"""

import csv
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attune_contract.outcome import RowError, Validation
from attune_trainer.errors import InvalidDataError

TUNED, BASE, TIE = "tuned", "base", "tie"
LEAST, MOST = 1, 5
FIRST = 20
"""So many problems the error carries; it counts all."""
_HALF = 0.5


@dataclass(frozen=True)
class Vote:
    """One person's choice between the tuned model's answer and a baseline's."""

    row: str
    person: str
    prefers: str
    over: str

    @property
    def won(self) -> float:
        """1 where tuned is preferred, 0 where the baseline is, a half for a tie."""
        return {TUNED: 1.0, TIE: _HALF}.get(self.prefers, 0.0)


@dataclass(frozen=True)
class Rating:
    """One person's rating of one model's answer."""

    row: str
    person: str
    model: str
    rating: int


@dataclass(frozen=True)
class Judgements:
    """What a file says: votes or ratings."""

    votes: tuple[Vote, ...] = ()
    ratings: tuple[Rating, ...] = ()

    @property
    def kind(self) -> type[Vote] | type[Rating]:
        """Which of the two."""
        return Vote if self.votes else Rating


@dataclass
class _Reading:
    """One file while it is read."""

    name: str
    rows: Collection[str]
    models: Collection[str]
    problems: list[RowError] = field(default_factory=list)
    votes: dict[tuple[str, str, str], Vote] = field(default_factory=dict)
    ratings: dict[tuple[str, str, str], Rating] = field(default_factory=dict)

    def problem(self, line: int | None, code: str, message: str, column: str | None = None) -> None:
        self.problems.append(RowError(code=code, file=self.name, line=line, field=column, message=message))

    def take(self, line: int, fields: dict[str, Any]) -> None:
        """Takes one line, or says everything that is wrong with it."""
        before = len(self.problems)
        row, person = (self._text(line, fields, column) for column in ("rowID", "person"))
        if row and row not in self.rows:
            self.problem(line, "unknown_row", f"there is no held-out row {row!r}; see predictions.jsonl", "rowID")
        if ("prefers" in fields) == ("rating" in fields):
            self.problem(line, "missing_column", "either `prefers` (a vote) or `model` and `rating` must be there")
            return
        made = self._vote(line, row, person, fields) if "prefers" in fields else self._rating(line, row, person, fields)
        if len(self.problems) > before:
            return
        known: dict[tuple[str, str, str], Any] = self.votes if isinstance(made, Vote) else self.ratings
        key = (row, person, made.over if isinstance(made, Vote) else made.model)
        if key in known:
            self.problem(line, "duplicate", f"{person!r} has judged row {row!r} ({key[2]}) before; keep one line")
        known.setdefault(key, made)

    def _vote(self, line: int, row: str, person: str, fields: dict[str, Any]) -> Vote:
        over = str(fields.get("over") or BASE).strip()
        prefers = self._text(line, fields, "prefers")
        self._one_of(line, "over", over, [model for model in self.models if model != TUNED])
        if prefers:
            self._one_of(line, "prefers", prefers, [TUNED, over, TIE])
        return Vote(row, person, prefers, over)

    def _rating(self, line: int, row: str, person: str, fields: dict[str, Any]) -> Rating:
        model = self._text(line, fields, "model")
        if model:
            self._one_of(line, "model", model, list(self.models))
        rating = str(fields["rating"]).strip()
        if rating not in {str(n) for n in range(LEAST, MOST + 1)}:
            self.problem(line, "wrong_value", f"{rating!r} is no whole number from {LEAST} to {MOST}", "rating")
            return Rating(row, person, model, LEAST)
        return Rating(row, person, model, int(rating))

    def _text(self, line: int, fields: dict[str, Any], column: str) -> str:
        text = fields.get(column)
        if isinstance(text, str) and text.strip():
            return text.strip()
        self.problem(line, "missing_column", f"`{column}` must be there, as text that is not empty", column)
        return ""

    def _one_of(self, line: int, column: str, value: str, known: list[str]) -> None:
        if value not in known:
            self.problem(line, "wrong_value", f"{value!r} is none of {', '.join(known)}", column)

    def done(self) -> Judgements:
        """What was read.

        Raises:
            InvalidDataError: anything is wrong, with all of it.
        """
        if self.votes and self.ratings:
            self.problem(None, "mixed", "votes and ratings in one file; keep one kind")
        if not self.votes and not self.ratings and not self.problems:
            self.problem(None, "empty", "no judgements")
        if self.problems:
            raise _invalid(self.name, self.problems)
        return Judgements(tuple(self.votes.values()), tuple(self.ratings.values()))


def read(
    path: Path, rows: Collection[str], baselines: Collection[str] = (BASE,), name: str | None = None
) -> Judgements:
    """Reads a file of votes or ratings.

    Args:
        path: the file; a name that ends in .csv is CSV with a header, any other is JSON lines. UTF-8.
        rows: the held-out rows' ids.
        baselines: names of the baselines.
        name: what errors call the file; left out, its own name.

    Raises:
        InvalidDataError: the file cannot be used, with every problem, its file and line.
    """
    reading = _Reading(name or path.name, frozenset(rows), [TUNED, *baselines])
    try:
        lines = _csv(path) if path.suffix == ".csv" else _json_lines(path, reading)
        for line, fields in lines:
            reading.take(line, fields)
    except (UnicodeDecodeError, csv.Error) as error:
        reading.problem(None, "unreadable", f"the file is no UTF-8 text of its kind: {error}")
    return reading.done()


def _csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Cells that are empty are not there: a file of votes may have a column for ratings."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        for cells in reader:
            yield reader.line_num, {name: cell for name, cell in cells.items() if cell}


def _json_lines(path: Path, reading: _Reading) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                fields = json.loads(text)
            except ValueError as error:
                reading.problem(number, "invalid_json", f"not JSON: {error}")
                continue
            if isinstance(fields, dict):
                yield number, fields
            else:
                reading.problem(number, "invalid_json", "not a JSON object")


def _invalid(name: str, problems: list[RowError]) -> InvalidDataError:
    said = "; ".join(
        f"{name}{f':{p.line}' if p.line else ''}: {f'{p.field}: ' if p.field else ''}{p.message}" for p in problems[:3]
    )
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""  # noqa: PLR2004 - the three just said
    validation = Validation(error_count=len(problems), errors=tuple(problems[:FIRST]))
    return InvalidDataError(f"{len(problems)} problems in the judgements of people: {said}{more}.", validation)

"""What every shape of a row is to the reader.

Codes follow OpenAI's data preparation guide ("Data preparation and analysis for chat model fine-tuning") where it has
a name.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from attune_contract.enums import DataFormat
from attune_contract.spec import Rating
from attune_trainer.data.examples import Example
from attune_trainer.data.problems import Finding
from attune_trainer.data.rows import Row, shown, type_name

Checked = tuple[Example, ...] | list[Finding]
"""What a good row holds, one example or the parts of a long document; or everything that is wrong with it."""


class Names(NamedTuple):
    """What a shape's check is told of the manifest."""

    columns: Mapping[str, str]
    """The file's own name of every field of the shape."""
    desirable_from: float | None


@dataclass(frozen=True)
class Format:
    """One shape of a row.

    Args:
        name: as in spec.dataset.format.
        fields: names of the fields that a row must have, in the format's own words.
        check: from a row, its id and the names to examples or findings.
        optional: names of fields that it may have.
        known_as: what the shape is called, where that is not the format.
        columns: spec.dataset.columns.
        rating: spec.dataset.rating.
        slices: spec.evaluation.slices: columns that rows have beside.
    """

    name: DataFormat
    fields: tuple[str, ...]
    check_row: Callable[[Row, str, Names], Checked]
    optional: tuple[str, ...] = ()
    known_as: str = ""
    columns: Mapping[str, str] | None = None
    rating: Rating | None = None
    slices: tuple[str, ...] = ()

    @cached_property
    def names(self) -> Names:
        """The file's own names."""
        columns = self.columns or {}
        own = {name: columns.get(name, name) for name in (*self.fields, *self.optional)}
        return Names(own, self.rating.desirable_from if self.rating else None)

    @property
    def all_fields(self) -> tuple[str, ...]:
        """Names of the fields that a row must or may have."""
        return (*self.fields, *self.optional)

    @property
    def title(self) -> str:
        """For people: `Chat`, or `Chat as ShareGPT`."""
        return f"{self.name.value} as {self.known_as}" if self.known_as else self.name.value

    def check(self, row: Row, row_id: str) -> Checked:
        """The row's examples, or all that is wrong with it."""
        checked = self.check_row(row, row_id, self.names)
        if not self.slices:
            return checked
        wrong = slice_findings(row, self.slices)
        if isinstance(checked, list) or wrong:
            return [*(checked if isinstance(checked, list) else ()), *wrong]
        values = json.dumps({column: _as_text(row[column]) for column in self.slices}, ensure_ascii=False)
        return tuple(replace(example, slices=values) for example in checked)  # type: ignore[type-var]  # dataclasses

    def fits(self, row: Row) -> bool:
        """Whether a row has every field that it must have."""
        return all(self.names.columns[name] in row for name in self.fields)


def slice_findings(row: Row, columns: tuple[str, ...]) -> list[Finding]:
    """What is wrong with the columns that a row is told apart by.

    Args:
        row: the row.
        columns: spec.evaluation.slices.
    """
    absent = [missing(row, column) for column in columns if column not in row]
    nested = [
        Finding("data_type", f"{c!r} is a slice of the evaluation and must be one value, and is {type_name(row[c])}", c)
        for c in columns
        if isinstance(row.get(c), list | dict)
    ]
    return absent + nested


def _as_text(value: Any) -> str:
    """A value as slices are named by: nothing and an empty text are the same."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value) if isinstance(value, bool | int | float) else str(value)


def is_blank(value: object) -> bool:
    """Whether a value is no text that says anything."""
    return value is None or (isinstance(value, str) and (not value or value.isspace()))


def text_findings(row: Row, code: str, column: str) -> list[Finding]:
    """What is wrong with a column that must be a text.

    Args:
        row: the row.
        code: of a text that is empty, such as `empty_prompt`.
        column: the file's name of it.
    """
    if column not in row:
        return [missing(row, column)]
    value = row[column]
    if is_blank(value):
        return [Finding(code, f"{column!r} is empty", column)]
    if not isinstance(value, str):
        return [Finding("data_type", f"{column!r} must be a text, and is {type_name(value)}", column)]
    return []


def missing(row: Row, column: str) -> Finding:
    """`missing_column`, with the columns that are there."""
    have = shown(", ".join(list(row)[:8])).strip("'\"") or "nothing"
    return Finding("missing_column", f"there is no {column!r} (the row has: {have})", column)

"""Rows as applications drop them: the method's format and, beside it, when it was, who answered and how it was rated.

| column | what it is | left out |
| --- | --- | --- |
| the answer (`completion`, `label`, …) | what would have been right | the row counts for inputs and ratings only |
| `variant` | `base`, `champion` or `challenger`: who answered | it counts for no variant's ratings |
| `timestamp` | RFC 3339, or seconds since 1970 | the day in the file's name; else the row is recent |
| `rating` | a number, or true and false | it counts for no rating |
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from attune_contract.enums import DataFormat
from attune_contract.monitoring import Variant
from attune_contract.spec import Workload
from attune_trainer.data.formats.base import Checked, Format, Names, is_blank
from attune_trainer.data.formats.table import shapes_of
from attune_trainer.data.rows import Row

_ANSWERS = ("completion", "output", "label", "chosen", "rejected")
_FILLER = "-"
_MILLISECONDS = 10**11  # as seconds, the year 5138
_DAY = re.compile(r"(?<!\d)(20\d\d)[-_/]?(\d\d)[-_/]?(\d\d)(?!\d)")
_HIVE = re.compile(r"year=(20\d\d)/month=(\d\d?)/day=(\d\d?)(?!\d)")


@dataclass(frozen=True)
class Told:
    """What a row says beside its format."""

    answered: bool
    """Whether the right answer is in it."""
    moment: float | None = None
    """Seconds since 1970; None where it does not say."""
    variant: Variant | None = None
    rating: float | None = None

    @classmethod
    def loads(cls, text: str) -> "Told":
        """From a row's `slices`."""
        found: dict[str, Any] = json.loads(text)
        variant = found.pop("variant")
        return cls(**found, variant=Variant(variant) if variant else None)

    def dumps(self) -> str:
        """As a row's `slices`."""
        return json.dumps(
            {"answered": self.answered, "moment": self.moment, "variant": self.variant, "rating": self.rating}
        )


def shape_of(work: Workload, first: Iterator[Row]) -> Format:
    """The shape of the rows: the method's, of which answers may be missing.

    Args:
        work: of the champion, with the columns that its data had.
        first: some rows.
    """
    more: dict[str, Any] = {"columns": work.dataset.columns, "rating": work.dataset.rating}
    shapes = [replace(shape, **more) for shape in shapes_of(work.method, work.dataset.format)]
    for row in first:
        fitting = next((s for s in shapes if s.fits(row)), None) or next((s for s in shapes if _asks(s, row)), None)
        if fitting is not None:
            return _telling(fitting)
    return _telling(shapes[0])


def day_of(uri: str) -> date | None:
    """The day in a file's path: `2026-11-21`, `20261121`, `2026/11/21` or `year=2026/month=11/day=21`."""
    for found in (*_HIVE.finditer(uri), *_DAY.finditer(uri)):
        try:
            return date(int(found[1]), int(found[2]), int(found[3]))
        except ValueError:
            continue
    return None


def day_overlaps(day: date, start: datetime, end: datetime) -> bool:
    """Whether a day (UTC) has a part in a window."""
    begins = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return begins < end and begins + timedelta(days=1) > start


def _asks(shape: Format, row: Row) -> bool:
    """Whether a row has all but the answer."""
    fields = [name for name in shape.fields if name not in _ANSWERS]
    return bool(fields) and all(shape.names.columns[name] in row for name in fields)


def _telling(shape: Format) -> Format:
    """The shape, of rows that may lack an answer; what they tell beside goes where slices go."""

    def check(row: Row, row_id: str, names: Names) -> Checked:
        whole, answered = _answered(shape, row, names)
        checked = shape.check_row(whole, row_id, names)
        if isinstance(checked, list):
            return checked
        told = Told(answered, _moment(row.get("timestamp")), _variant(row.get("variant")), _number(row.get("rating")))
        return tuple(replace(example, slices=told.dumps()) for example in checked)  # type: ignore[type-var]  # dataclasses

    return replace(shape, check_row=check)


def _answered(shape: Format, row: Row, names: Names) -> tuple[Row, bool]:
    """The row with something in the answer's place where there is none, and whether there was one."""
    if shape.name is DataFormat.CHAT:
        column = names.columns[shape.fields[0]]
        said = row.get(column)
        if isinstance(said, list) and said and isinstance(said[-1], dict) and said[-1].get("role") == "user":
            return {**row, column: [*said, {"role": "assistant", "content": _FILLER}]}, False
        return row, True
    wanted = {name: names.columns[name] for name in shape.fields if name in _ANSWERS}
    missing = {name: column for name, column in wanted.items() if is_blank(row.get(column))}
    filler: dict[str, Any] = {
        column: False if (shape.name, name) == (DataFormat.RATED, "label") else _FILLER
        for name, column in missing.items()
    }
    return {**row, **filler}, not missing


def _variant(value: Any) -> Variant | None:
    return Variant(value) if isinstance(value, str) and value in set(Variant) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return float(value)
    return None


def _moment(value: Any) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0:
        return value / 1000 if value > _MILLISECONDS else float(value)
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None

"""Rows as applications drop them: the method's format and, beside it, when it was, who answered and how it was rated.

| column | what it is | left out |
| --- | --- | --- |
| the answer (`completion`, `label`, …) | what would have been right | the row counts for inputs and ratings only |
| `variant` | `base`, `champion` or `challenger`: who answered | it counts for no variant's ratings |
| `timestamp` | RFC 3339, a date of the file's own, or seconds since 1970 | as its file's name says; else recent |
| `rating` | a number, or true and false | it counts for no rating |
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from attune_contract.enums import DataFormat
from attune_contract.monitoring import Variant
from attune_contract.spec import Workload
from attune_trainer.data.examples import ASSISTANT
from attune_trainer.data.files.base import Cells
from attune_trainer.data.formats import messages
from attune_trainer.data.formats.base import Checked, Format, Names, is_blank
from attune_trainer.data.formats.rated import is_finite, read_cell
from attune_trainer.data.formats.table import shapes_of
from attune_trainer.data.problems import Finding
from attune_trainer.data.rows import Row, shown

_FILLERS: dict[str, Any] = {
    "completion": "-",
    "output": "-",
    "label": "-",
    "chosen": "-",
    "rejected": "--",
    "preferred_output": [{"role": ASSISTANT, "content": "-"}],
    "non_preferred_output": [{"role": ASSISTANT, "content": "--"}],
}
"""By field of an answer, what stands in its place where there is none: of a pair, two that differ."""
_DIALECTS = {dialect.field: dialect for dialect in (messages.OPENAI, messages.SHAREGPT)}
_TIMESTAMP, _RATING = "timestamp", "rating"
_PARTS_OF_A_SECOND = (1, 10**3, 10**6, 10**9)
_LATEST = 10**11
"""In seconds, the year 5138: a larger number counts parts of a second."""
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
        """From a row's `slices`; plain text, which has no columns, says nothing and is all answer."""
        if not text:
            return cls(answered=True)
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


def day_of(uri: str, source: str) -> date | None:
    """The day in a file's path, `2026-11-21`, `20261121`, `2026/11/21` or `year=2026/month=11/day=21`: the last there.

    Args:
        uri: of the file.
        source: the prefix or glob that it was found by. A day in the folders that all files share says nothing.
    """
    below = uri.removeprefix(_shared(source))
    found = sorted((*_HIVE.finditer(below), *_DAY.finditer(below)), key=lambda match: match.start(), reverse=True)
    return next((day for match in found if (day := _date(match)) is not None), None)


def day_overlaps(day: date, start: datetime, end: datetime) -> bool:
    """Whether a day (UTC) has a part in a window."""
    begins = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return begins < end and begins + timedelta(days=1) > start


def _shared(source: str) -> str:
    """The folder that all files of a prefix or glob lie in."""
    return re.split(r"[*?\[]", source, maxsplit=1)[0].rpartition("/")[0]


def _date(found: re.Match[str]) -> date | None:
    try:
        return date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return None


def _asks(shape: Format, row: Row) -> bool:
    """Whether a row has all but the answer."""
    fields = [name for name in shape.fields if name not in _FILLERS]
    return bool(fields) and all(shape.names.columns[name] in row for name in fields)


def _telling(shape: Format) -> Format:
    """The shape, of rows that may lack an answer; what they tell beside goes where slices go."""

    def check(row: Row, row_id: str, names: Names) -> Checked:
        whole, answered = _answered(shape, row, names)
        checked, moment = shape.check_row(whole, row_id, names), _moment(row)
        if isinstance(checked, list) or isinstance(moment, Finding):
            return [*(checked if isinstance(checked, list) else ()), *([moment] if isinstance(moment, Finding) else ())]
        told = Told(answered, moment, _variant(row.get("variant")), _number(_value(row, _RATING)))
        return tuple(replace(example, slices=told.dumps()) for example in checked)  # type: ignore[type-var]  # dataclasses

    return replace(shape, check_row=check)


def _answered(shape: Format, row: Row, names: Names) -> tuple[Row, bool]:
    """The row, with something in each answer's place where it lacks one; and whether it has all of them."""
    if shape.name is DataFormat.CHAT:
        return _replied(row, _DIALECTS[shape.fields[0]], names)
    wanted = {name: names.columns[name] for name in shape.fields if name in _FILLERS}
    if not any(is_blank(row.get(column)) for column in wanted.values()):
        return row, True
    filler = {column: _FILLERS[name] for name, column in wanted.items()}
    if shape.name is DataFormat.RATED:
        filler[wanted["label"]] = "false" if isinstance(row, Cells) else False
    return type(row)({**row, **filler}), False


def _replied(row: Row, dialect: messages.Dialect, names: Names) -> tuple[Row, bool]:
    """The same of a conversation, which lacks its answer where the user speaks last."""
    column = names.columns[dialect.field]
    said = row.get(column)
    if not isinstance(said, list) or not said or not isinstance(said[-1], dict):
        return row, True
    speaks = said[-1].get(dialect.role)
    if not isinstance(speaks, str) or dialect.roles.get(speaks) != messages.USER:
        return row, True
    return {**row, column: [*said, {dialect.role: ASSISTANT, dialect.content: "-"}]}, False


def _value(row: Row, column: str) -> Any:
    """What a column says; the cells of a file that knows only text are read as what they look like."""
    value = row.get(column)
    return read_cell(value) if isinstance(row, Cells) and isinstance(value, str) else value


def _variant(value: Any) -> Variant | None:
    return Variant(value) if isinstance(value, str) and value in set(Variant) else None


def _number(value: Any) -> float | None:
    return float(value) if is_finite(value) else None


def _moment(row: Row) -> float | Finding | None:
    """Seconds since 1970; None where nothing is there. A time that nobody understands must not make a row recent."""
    value = row.get(_TIMESTAMP)
    if is_blank(value):
        return None
    moment = _of_date(value)
    if moment is None:
        moment = _seconds(_value(row, _TIMESTAMP))
    if moment is None:
        text = f"{_TIMESTAMP!r} must be as 2026-11-21T09:14:00Z or seconds since 1970, and is {shown(value)}"
        return Finding("data_type", text, _TIMESTAMP)
    return moment


def _seconds(value: Any) -> float | None:
    """From seconds, or the parts of a second that databases count in: by how large the number is."""
    if isinstance(value, bool) or not is_finite(value):
        return None
    return next((value / parts for parts in _PARTS_OF_A_SECOND if abs(value) < _LATEST * parts), None)


def _of_date(value: Any) -> float | None:
    """From a text, or from what a file with types has; without a time zone it is UTC."""
    try:
        found = datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
    except ValueError:
        return None
    if isinstance(found, date) and not isinstance(found, datetime):
        found = datetime(found.year, found.month, found.day, tzinfo=UTC)
    if not isinstance(found, datetime):
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()

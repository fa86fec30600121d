"""Format Auto: which format the rows have, and why we think so."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from attune_contract.abilities import formats_of
from attune_contract.enums import DataFormat
from attune_contract.spec import Workload
from attune_trainer.data import rows
from attune_trainer.data.files.opening import Opened, kind
from attune_trainer.data.formats.base import Format
from attune_trainer.data.formats.table import shapes_of
from attune_trainer.data.formats.texts import TEXT
from attune_trainer.data.objects import DataFile
from attune_trainer.errors import AccessDeniedError, InvalidConfigurationError, ObjectNotFoundError

LOOKED_AT = 20
"""Rows of each file that are looked at; a broken first row must not decide."""


@dataclass(frozen=True)
class Choice:
    """The format of a dataset's rows."""

    format: Format
    why: str
    """For the report: `Chat (spec.dataset.format)`."""


def choose(work: Workload, files: tuple[DataFile, ...], scratch: Path) -> Choice | None:
    """The format as given, or as the first rows have it.

    Args:
        work: names the method, which reads some formats only, and what the manifest says of the dataset.
        files: looked into in their order.
        scratch: a folder for copies of files that cannot be streamed.

    Returns:
        None where no row that was looked at fits a format.

    Raises:
        InvalidConfigurationError: the format is not one of the method's, or `columns` names a field that no format has.
    """
    name, columns = work.dataset.format, work.dataset.columns
    more: dict[str, Any] = {"columns": columns, "rating": work.dataset.rating, "slices": work.evaluation.slices}
    candidates = [replace(shape, **more) for shape in shapes_of(work.method, name)]
    if not candidates:
        known = " and ".join(known.value for known in formats_of(work.method))
        raise InvalidConfigurationError(
            f"spec.dataset.format: {work.method.value} takes {known}, not {name.value}. Auto finds out by itself."
        )
    _check_columns(work, candidates)
    found = _look(candidates, files, scratch)
    if name is DataFormat.AUTO:
        return found
    shape = found.format if found else candidates[0]
    return Choice(shape, f"{shape.title} (spec.dataset.format)")


def pass_over(work: Workload) -> Format:
    """What rows are read by where no shape was recognised: it takes none and has nothing to say of any.

    So the faults that hide every row, such as those of encoding or packing, are told by the files' readers.
    """
    shape = shapes_of(work.method, work.dataset.format)[0]
    return replace(shape, check_row=lambda *_: (), columns=work.dataset.columns, rating=work.dataset.rating)


def expected(work: Workload) -> str:
    """What rows of the method have, in words: `'messages', or 'prompt' and 'completion'`."""
    columns = work.dataset.columns
    return ", or ".join(
        _joined([repr(columns.get(name, name)) for name in shape.fields])
        for shape in shapes_of(work.method, work.dataset.format)
    )


def first_rows(file: DataFile, scratch: Path, rating: str | None = None) -> Iterator[tuple[int | None, rows.Row]]:
    """The first rows of a file that can be read, with their lines; a part of plain text counts as a row of `text`.

    Args:
        file: read as far as is needed.
        scratch: a folder for a copy of a file that cannot be streamed.
        rating: a column in which NaN is let through.
    """
    with closing(iter(Opened(file, scratch, rating))) as records:  # type: ignore[type-var]  # a generator
        for record in islice(records, LOOKED_AT):
            if record.row is not None:
                yield record.line, record.row


def _look(candidates: list[Format], files: tuple[DataFile, ...], scratch: Path) -> Choice | None:
    rating = next((s.names.columns["label"] for s in candidates if "label" in s.fields), None)
    for file in files:
        if kind(file.info.uri) == ".txt":
            text = next((shape for shape in candidates if shape.name is TEXT.name), None)
            if text:
                return Choice(text, f"{text.title} (found: {file.info.uri} is plain text)")
            continue
        try:
            for number, row in first_rows(file, scratch, rating):
                fitting = next((shape for shape in candidates if shape.fits(row)), None)
                if fitting:
                    return Choice(fitting, _why(fitting, file, number))
        except (AccessDeniedError, ObjectNotFoundError):
            continue  # told when the file is read
    return None


def _why(shape: Format, file: DataFile, line: int | None) -> str:
    names = [repr(shape.names.columns[name]) for name in shape.fields]
    return f"{shape.title} (found: {file.info.uri} line {line} has {_joined(names)})"


def _joined(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def _check_columns(work: Workload, candidates: list[Format]) -> None:
    columns = work.dataset.columns
    fields = {name for shape in candidates for name in shape.all_fields}
    unknown = sorted(set(columns) - fields)
    if unknown:
        formats = " or ".join(dict.fromkeys(shape.name.value for shape in candidates))
        raise InvalidConfigurationError(
            f"spec.dataset.columns: {', '.join(unknown)} is no field of {formats}; "
            f"their fields are {', '.join(sorted(fields))}."
        )
    if len(set(columns.values())) != len(columns):
        raise InvalidConfigurationError("spec.dataset.columns: two fields are taken from the same column.")

"""Format Auto: which format the rows have, and why we think so."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from attune_contract.enums import DataFormat
from attune_trainer.data import rows
from attune_trainer.data.formats import SUPPORTED, Format
from attune_trainer.data.lines import Lines
from attune_trainer.data.objects import DataFile
from attune_trainer.errors import InvalidConfigurationError

LOOKED_AT = 20
"""Rows of each file that are looked at; a broken first row must not decide."""


@dataclass(frozen=True)
class Choice:
    """The format of a dataset's rows."""

    format: Format
    why: str
    """For the report: `Chat (spec.dataset.format)`."""


def choose(name: DataFormat, columns: Mapping[str, str], files: tuple[DataFile, ...]) -> Choice | None:
    """The format as given, or as the first rows have it.

    Returns:
        None where no row that was looked at fits a format.

    Raises:
        InvalidConfigurationError: the format is not one for SFT, or `columns` names a field that no format has.
    """
    known = {f.name: f for f in SUPPORTED}
    if name not in known and name is not DataFormat.AUTO:
        raise InvalidConfigurationError(
            f"spec.dataset.format: SFT takes {' and '.join(known)}, not {name.value}. Auto finds out by itself."
        )
    candidates = [replace(f, columns=columns) for f in SUPPORTED if name in {f.name, DataFormat.AUTO}]
    _check_columns(columns, candidates)
    if name is not DataFormat.AUTO:
        return Choice(candidates[0], f"{name.value} (spec.dataset.format)")
    return _look(candidates, files)


def _look(candidates: list[Format], files: tuple[DataFile, ...]) -> Choice | None:
    for file in files:
        for number, row in _first_rows(file):
            fitting = next((f for f in candidates if f.fits(row)), None)
            if fitting:
                names = " and ".join(repr(fitting.columns.get(n, n)) for n in fitting.fields)
                return Choice(fitting, f"{fitting.name.value} (found: {file.info.uri} line {number} has {names})")
    return None


def _first_rows(file: DataFile) -> Iterator[tuple[int, rows.Row]]:
    with file.store.open(file.info.uri) as stream:
        for seen, line in enumerate(Lines(stream)):
            if seen >= LOOKED_AT:
                return
            row = rows.parse(line.text) if line.text else None
            if isinstance(row, dict):
                yield line.number, row


def _check_columns(columns: Mapping[str, str], candidates: list[Format]) -> None:
    fields = {name for f in candidates for name in f.fields}
    unknown = sorted(set(columns) - fields)
    if unknown:
        raise InvalidConfigurationError(
            f"spec.dataset.columns: {', '.join(unknown)} is no field of {' or '.join(f.name for f in candidates)}; "
            f"their fields are {', '.join(sorted(fields))}."
        )
    if len(set(columns.values())) != len(columns):
        raise InvalidConfigurationError("spec.dataset.columns: two fields are taken from the same column.")

"""Rated answers: a prompt, an answer, and whether it is wanted; or its score."""

import math
from typing import Any

from attune_contract.enums import DataFormat
from attune_trainer.data.examples import Rated
from attune_trainer.data.files.base import Cells
from attune_trainer.data.formats import answers
from attune_trainer.data.formats.base import Checked, Format, Names, missing
from attune_trainer.data.formats.tools import tool_findings, tools_text
from attune_trainer.data.problems import Finding
from attune_trainer.data.rows import Row, shown

_WORDS = {"true": True, "false": False}


def _check(row: Row, row_id: str, names: Names) -> Checked:
    columns = names.columns
    prompt = answers.side(row, columns["prompt"], "empty_prompt")
    completion = answers.side(row, columns["completion"], "empty_completion")
    label = _desirable(row, columns["label"], names.desirable_from)
    findings = [f for part in (prompt, completion) if isinstance(part, list) for f in part]
    findings += [label] if isinstance(label, Finding) else []
    tools = row.get(columns["tools"])
    findings += tool_findings(tools, columns["tools"]) if tools is not None else []
    if findings or isinstance(prompt, list) or isinstance(completion, list):
        return findings
    asked, given = answers.joined(prompt, completion)
    findings = answers.conversation_findings(asked, given, columns["prompt"], columns["completion"])
    return findings or (Rated(row_id, asked, given, bool(label), tools_text(tools) if tools else ""),)


def _desirable(row: Row, column: str, desirable_from: float | None) -> bool | Finding:
    if column not in row:
        return missing(row, column)
    value = read_cell(row[column]) if isinstance(row, Cells) else row[column]
    if isinstance(value, bool):
        return value
    if not is_finite(value):
        text = f"{column!r} must be true, false or a number, and is {shown(value)}"
        return Finding("rating_not_a_number", text, column)
    if desirable_from is not None:
        return bool(value >= desirable_from)
    if value in {0, 1}:
        return bool(value)
    text = (
        f"{column!r} is {shown(value)}, which is neither true or false nor 1 or 0; say from which score on an answer "
    )
    return Finding("rating_not_a_number", text + "is wanted: spec.dataset.rating.desirableFrom", column)


def is_finite(value: Any) -> bool:
    """Whether a value is a number that a float can hold: whole numbers of JSON have any length."""
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:
        return False


def read_cell(cell: Any) -> Any:
    """What a cell of a file that knows only text stands for: true, false, a number, or the text itself."""
    word = cell.strip().lower()
    if word in _WORDS:
        return _WORDS[word]
    try:
        return float(word)
    except ValueError:
        return cell


RATED = Format(DataFormat.RATED, ("prompt", "completion", "label"), _check, ("tools",))

"""Documents, and texts with a label."""

from typing import Any

from attune_contract.enums import DataFormat
from attune_trainer.data.examples import Document, Labeled
from attune_trainer.data.files.text import PART, parts
from attune_trainer.data.formats.base import Checked, Format, Names, is_blank, missing, text_findings
from attune_trainer.data.problems import Finding
from attune_trainer.data.rows import Row, shown, type_name


def _document(row: Row, row_id: str, names: Names) -> Checked:
    column = names.columns["text"]
    findings = text_findings(row, "empty_prompt", column)
    if findings:
        return findings
    text: str = row[column]
    if len(text) <= PART:
        return (Document(row_id, text),)
    pieces = parts(enumerate(text.splitlines(keepends=True)))
    texts = [piece for _, piece in pieces]
    ids = [row_id, *(f"{row_id}.{i}" for i in range(1, len(texts)))]
    return tuple(map(Document, ids, texts, ["", *ids]))


def _labeled(row: Row, row_id: str, names: Names) -> Checked:
    column = names.columns["label"]
    findings = text_findings(row, "empty_prompt", names.columns["text"])
    label = label_text(row[column], column) if column in row else missing(row, column)
    if findings or isinstance(label, Finding):
        return [*findings, *([label] if isinstance(label, Finding) else [])]
    return (Labeled(row_id, row[names.columns["text"]], label),)


def label_text(value: Any, column: str) -> str | Finding:
    """A label as text: numbers and true or false are read as JSON writes them."""
    if is_blank(value):
        return Finding("empty_completion", f"{column!r} is empty", column)
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    is_number = isinstance(value, float)
    what = f"the number {shown(value)}, which is not whole" if is_number else type_name(value)
    return Finding("data_type", f"{column!r} must be a text or a whole number, and is {what}", column)


TEXT = Format(DataFormat.TEXT, ("text",), _document)
LABELED = Format(DataFormat.LABELED, ("text", "label"), _labeled)

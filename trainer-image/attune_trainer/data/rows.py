"""One line of JSON to one row. Stricter than Python's parser where leniency would hide a fault of the data."""

import json
from typing import Any

from attune_trainer.data.problems import Finding

Row = dict[str, Any]
_LONGEST_SHOWN = 60


class _DuplicateKeyError(ValueError):
    """A key twice in one object: one of the values would silently be lost."""


def parse(text: str) -> Row | Finding:
    r"""Reads a row.

    Args:
        text: one line, not blank.

    Returns:
        The row; or `invalid_json` where it is none, `data_type` where it is not an object, `encoding_error` where it
        holds half a character (a lone surrogate such as `\ud83d`), which no tokenizer takes.
    """
    try:
        row = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        return Finding("invalid_json", f"not JSON: {error.msg} at column {error.colno}")
    except RecursionError:
        return Finding("invalid_json", "not usable JSON: nested too deeply")
    except ValueError as error:
        return Finding("invalid_json", f"not JSON: {error}")
    if not isinstance(row, dict):
        return Finding("data_type", f"a row must be a JSON object, and this one is {type_name(row)}")
    if "\\u" in text and _has_half_character(row):
        return Finding("encoding_error", "text holds half a character (a lone \\ud800 to \\udfff escape)")
    return row


def type_name(value: Any) -> str:
    """The JSON type of a value, in words."""
    names = {
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
    }
    return "null" if value is None else names.get(type(value), type(value).__name__)


def shown(value: Any) -> str:
    """A value in a message: as Python spells it, and not at its full length."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _object(pairs: list[tuple[str, Any]]) -> Row:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _DuplicateKeyError(f"the key {shown(twice)} is there twice")
    return made


def _has_half_character(value: Any) -> bool:
    if isinstance(value, str):
        return any("\ud800" <= c <= "\udfff" for c in value)
    if isinstance(value, dict):
        return any(_has_half_character(v) for pair in value.items() for v in pair)
    return isinstance(value, list) and any(_has_half_character(v) for v in value)

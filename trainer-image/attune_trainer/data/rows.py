"""One line of JSON to one row. Stricter than Python's parser where leniency would hide a fault of the data."""

import json
import math
from typing import Any

from attune_trainer.data.problems import Finding

Row = dict[str, Any]
_LONGEST_SHOWN = 60


class _DuplicateKeyError(ValueError):
    """A key twice in one object: one of the values would silently be lost."""


class _ConstantError(ValueError):
    """NaN or Infinity, which Python writes and JSON does not know."""


def parse(text: str, rating: str | None = None) -> Row | Finding:  # noqa: PLR0911 - one for each fault
    r"""Reads a row.

    Args:
        text: one object, not blank.
        rating: a column in which NaN is let through, for its own check to tell.

    Returns:
        The row; or `invalid_json` where it is none, `data_type` where it is not an object, `encoding_error` where it
        holds half a character (a lone surrogate such as `\ud83d`), which no tokenizer takes.
    """
    try:
        row = _decode(text)
    except json.JSONDecodeError as error:
        return Finding("invalid_json", f"not JSON: {error.msg} at column {error.colno}")
    except RecursionError:
        return Finding("invalid_json", "not usable JSON: nested too deeply")
    except _ConstantError as error:
        row = _with_constant(text, rating)
        if row is None:
            return Finding("invalid_json", f"not JSON: {error}")
    except ValueError as error:
        return Finding("invalid_json", f"not JSON: {error}")
    if not isinstance(row, dict):
        return Finding("data_type", f"a row must be a JSON object, and this one is {type_name(row)}")
    if "\\u" in text and _has_half_character(row):
        return Finding("encoding_error", "text holds half a character (a lone \\ud800 to \\udfff escape)")
    return row


def _with_constant(text: str, rating: str | None) -> Row | None:
    """The row where only its rating is NaN or infinite."""
    try:
        row = json.loads(text, object_pairs_hook=_object)
        others = {name: value for name, value in row.items() if name != rating} if isinstance(row, dict) else row
        json.dumps(others, allow_nan=False)
    except (ValueError, RecursionError):
        return None
    value = row.get(rating) if isinstance(row, dict) else None
    return row if isinstance(value, float) and not math.isfinite(value) else None


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
    text = repr(value[: 2 * _LONGEST_SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def _refuse_constant(name: str) -> Any:
    raise _ConstantError(f"{name} is not a JSON value")


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


_decode = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant).decode

"""The shape of a bad row, for people who look for it: its keys, and the beginnings of its texts with secrets masked."""

import json
from typing import Any

from attune_trainer.data.quality.sensitive import mask

_TEXT = 40
_ITEMS = 4
_KEYS = 12
_DEPTH = 4
_MASKED_FROM = 2_000
"""Characters of a text that are looked at before it is shortened: a secret that is cut in two is not told any more."""


def shape(row: Any, depth: int = 0) -> str:
    """A row in one line.

    Args:
        row: as it was parsed.
        depth: how far down this is.

    Returns:
        JSON with `…` where something is left out: `{"prompt": "How do I reset…", "label": 3}`.
    """
    match row:
        case str():
            return _text(row)
        case dict() if depth < _DEPTH:
            parts = [f"{_text(str(key))}: {shape(value, depth + 1)}" for key, value in [*row.items()][:_KEYS]]
            return "{" + ", ".join(parts + ["…"] * (len(row) > _KEYS)) + "}"
        case list() | tuple() if depth < _DEPTH:
            parts = [shape(value, depth + 1) for value in row[:_ITEMS]]
            return "[" + ", ".join(parts + ["…"] * (len(row) > _ITEMS)) + "]"
        case dict() | list() | tuple():
            return "…"
        case int() if not isinstance(row, bool):
            return _text(str(row)).strip('"')  # a card number may be one
        case _:
            return str(row)[:_TEXT] if not isinstance(row, bool) and row is not None else json.dumps(row)


def _text(text: str) -> str:
    masked = mask(text[:_MASKED_FROM])
    cut = masked if len(masked) <= _TEXT and len(text) <= _MASKED_FROM else masked[:_TEXT] + "…"
    return json.dumps(cut, ensure_ascii=False)

"""JSON objects that hold some of their fields packed, for places that cut what is long."""

import base64
import json
import zlib
from typing import Any

FIELD = "packed"
LARGEST = 1 << 18
"""Bytes that a packed text may unfold to: whoever wrote it may mean harm."""


def packed(text: str, head: tuple[str, ...]) -> str:
    """A JSON object with all fields but those of the head deflated (RFC 1950) into one, as base85.

    Args:
        text: a JSON object.
        head: names of the fields that stay as they are.
    """
    whole: dict[str, Any] = json.loads(text)
    rest = {name: value for name, value in whole.items() if name not in head}
    small = zlib.compress(json.dumps(rest, ensure_ascii=False, separators=(",", ":")).encode(), 9)
    kept = {name: whole[name] for name in head if name in whole}
    return json.dumps({**kept, FIELD: base64.b85encode(small).decode()}, ensure_ascii=False, separators=(",", ":"))


def unpacked(text: str) -> dict[str, Any]:
    """The object as it was, whether it was packed or not.

    Raises:
        ValueError: it is no JSON object, or what is packed in it is none or too large.
    """
    whole = json.loads(text)
    if not isinstance(whole, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - callers look for what JSON raises
    if FIELD not in whole:
        return whole
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(base64.b85decode(str(whole.pop(FIELD))), LARGEST)
    except zlib.error as error:
        raise ValueError(f"cannot be unpacked: {error}") from error
    rest = json.loads(plain) if unpacker.eof else None
    if not isinstance(rest, dict):
        raise ValueError("what is packed is no JSON object, or too large")  # noqa: TRY004 - as above
    return {**rest, **whole}

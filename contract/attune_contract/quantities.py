"""Kubernetes quantities and Go durations: as text on the wire, as numbers in arithmetic."""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"
DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(s|m|h))+$"
MONEY_PATTERN = r"^[0-9]{1,12}(\.[0-9]{1,6})?$"

_SCALE: dict[str, int | Decimal] = {
    "": 1,
    "m": Decimal("0.001"),
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
}
_SCALE |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def _text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Quantity = Annotated[
    str,
    BeforeValidator(_text),
    Field(pattern=QUANTITY_PATTERN, max_length=32),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": QUANTITY_PATTERN,
        }
    ),
]
"""A Kubernetes quantity, such as `500m`, `8` or `64Gi`."""

Duration = Annotated[str, Field(pattern=DURATION_PATTERN, max_length=32)]
"""A Go duration of hours, minutes and seconds, such as `90s`, `10m` or `1h30m`."""

Money = Annotated[
    str,
    BeforeValidator(_text),
    Field(pattern=MONEY_PATTERN, max_length=20),
    WithJsonSchema({"type": "string", "pattern": MONEY_PATTERN, "maxLength": 20}),
]
"""An amount of money as a decimal number in text, such as `"25.00"`: floats would lose cents."""


def quantity(text: str) -> Decimal:
    """The value of a Kubernetes quantity, in units (bytes, cores).

    Raises:
        ValueError: the text is no quantity.
    """
    match = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", text)
    if not match or match[2] not in _SCALE:
        raise ValueError(f"{text!r} is not a Kubernetes quantity such as 500m or 64Gi")
    return Decimal(match[1]) * _SCALE[match[2]]


def seconds(text: str) -> float:
    """The length of a Go duration, in seconds.

    Raises:
        ValueError: the text is no duration.
    """
    if not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError(f"{text!r} is not a duration such as 90s, 10m or 1h30m")
    return sum(float(n) * _SECONDS[unit] for n, unit in re.findall(r"([0-9.]+)(s|m|h)", text))


def duration_text(length: float) -> str:
    """A length of time as a Go duration, as exact as one would say it: `45s`, `11m`, `2h30m`.

    Args:
        length: seconds.
    """
    if length < 90:  # noqa: PLR2004 - under a minute and a half, seconds say more
        return f"{max(0, round(length))}s"
    minutes = round(length / 60)
    hours, rest = divmod(minutes, 60)
    return f"{minutes}m" if minutes < 120 else f"{hours}h{rest}m" if rest else f"{hours}h"  # noqa: PLR2004 - as above


def memory_text(size: float) -> str:
    """Bytes as a Kubernetes quantity, rounded up: in Mi, whole Gi and from ten Gi on in Gi."""
    mebibytes = -(-int(size) // 2**20)
    small = mebibytes < 10 * 1024 and mebibytes % 1024
    return f"{mebibytes}Mi" if small or not mebibytes else f"{-(-mebibytes // 1024)}Gi"

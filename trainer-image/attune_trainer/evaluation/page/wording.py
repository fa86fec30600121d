"""Numbers and texts as the page shows them."""

import re

from attune_contract.enums import Verdict
from attune_trainer.data.quality.sensitive import mask

MINUS, NOTHING = "\u2212", "\u2013"
PROMPT_CHARACTERS = 400
ANSWER_CHARACTERS = 300
LABEL_CHARACTERS = 28
_TINY_P = 0.0001
_THOUSANDS = 10_000
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")

VERDICTS = {Verdict.PASSED: "good", Verdict.FAILED: "bad", Verdict.INCONCLUSIVE: "unsure"}
"""The style of each verdict."""


def number(value: float | None) -> str:
    """Four digits that count, with a real minus sign; a dash for nothing."""
    if value is None:
        return NOTHING
    text = f"{value:,.0f}" if abs(value) >= _THOUSANDS else f"{value:.4g}"
    return text.replace("-", MINUS)


def signed(value: float) -> str:
    """A difference: never without its sign."""
    return ("+" if value > 0 else "") + number(value)


def probability(value: float | None) -> str:
    """A p-value."""
    if value is None:
        return NOTHING
    return "< 0.0001" if value < _TINY_P else f"{value:.2g}"


def percent(share: float) -> str:
    """A share."""
    return f"{100 * share:.3g} %"


def shortened(text: str, most: int) -> str:
    """A text's beginning and end, without secrets and addresses; the middle is what prompts repeat."""
    text = printable(mask(text))
    if len(text) <= most:
        return text
    kept = (most - 5) // 2
    return f"{text[:kept].rstrip()} […] {text[-kept:].lstrip()}"


def printable(text: str) -> str:
    """Text without characters that HTML cannot hold; they are shown as a replacement character."""
    return _CONTROL.sub("\ufffd", text)

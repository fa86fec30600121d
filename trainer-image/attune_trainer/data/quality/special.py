"""The tokenizer's own control tokens inside of text: they would end a turn, or begin another, where nobody means it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

_SHORTEST = 3
"""Control tokens of fewer characters, if there are any, are words that text may have."""


@dataclass(frozen=True)
class SpecialTokens:
    """Finds control tokens.

    Args:
        beginnings: the first two characters of each, for a quick look.
        pattern: finds them; None where there are none.
    """

    beginnings: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None

    @classmethod
    def of(cls, tokenizer: Any | None) -> Self:
        """Those of a tokenizer; none where there is no tokenizer."""
        if tokenizer is None:
            return cls()
        named = {str(token) for token in tokenizer.all_special_tokens}
        added = getattr(tokenizer, "added_tokens_decoder", {}).values()
        tokens = named | {token.content for token in added if token.special}
        return cls.among([t for t in tokens if len(t.strip()) >= _SHORTEST])

    @classmethod
    def among(cls, tokens: Sequence[str]) -> Self:
        """Those of a list."""
        if not tokens:
            return cls()
        longest_first = sorted(tokens, key=lambda t: (-len(t), t))
        return cls(tuple(sorted({t[:2] for t in tokens})), re.compile("|".join(map(re.escape, longest_first))))

    def find(self, text: str) -> str | None:
        """The first control token in a text."""
        if self.pattern is None or not any(beginning in text for beginning in self.beginnings):
            return None
        found = self.pattern.search(text)
        return found[0] if found else None

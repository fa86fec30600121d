"""What is done to texts before they are compared: explicit, and told with the result."""

import re
import string
import unicodedata
from dataclasses import dataclass

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class Normalization:
    """Steps in this order, each only if it is asked for.

    Args:
        compose: one form for characters that Unicode has several of (NFC).
        lower: lower case.
        drop_punctuation: ASCII punctuation is removed.
        drop_articles: the words a, an and the become a space.
        join_spaces: each run of white space becomes one space, and that at both ends goes.
        strip: white space at both ends goes.
    """

    compose: bool = False
    lower: bool = False
    drop_punctuation: bool = False
    drop_articles: bool = False
    join_spaces: bool = False
    strip: bool = False

    def __call__(self, text: str) -> str:
        """The text as it is compared."""
        text = unicodedata.normalize("NFC", text) if self.compose else text
        text = text.lower() if self.lower else text
        text = text.translate(_PUNCTUATION) if self.drop_punctuation else text
        text = _ARTICLES.sub(" ", text) if self.drop_articles else text
        text = " ".join(text.split()) if self.join_spaces else text
        return text.strip() if self.strip else text

    def in_words(self) -> str:
        """The steps for the report."""
        steps = {
            "Unicode NFC": self.compose,
            "lower case": self.lower,
            "ASCII punctuation removed": self.drop_punctuation,
            "English articles removed": self.drop_articles,
            "white space joined to single spaces": self.join_spaces,
            "white space at both ends removed": self.strip,
        }
        return ", ".join(step for step, wanted in steps.items() if wanted) or "none"


AS_IS = Normalization()
STRIPPED = Normalization(strip=True)
"""What ExactMatch compares unless it is told otherwise."""
SQUAD = Normalization(lower=True, drop_punctuation=True, drop_articles=True, join_spaces=True)
"""That of SQuAD's evaluation script (Rajpurkar et al. 2016, evaluate-v2.0.py: normalize_answer)."""

"""Text that looks like a secret or like personal data: where it is and of which kind, never what it says.

Kinds are chosen for few false alarms: card numbers and IBANs must pass their check digits, e-mail addresses must not be
of a domain that is reserved for examples, and passwords must look like one. Telephone numbers and names cannot be told
reliably by their shape, and are not looked for.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

from attune_contract.enums import DataWarning


class Kind(NamedTuple):
    """One kind of sensitive text."""

    code: DataWarning
    name: str
    """In words: `e-mail address`."""


class Secret(NamedTuple):
    """One kind of key or token with a shape of its own."""

    kind: Kind
    literals: tuple[str, ...]
    """Texts of which every such secret has one, for a quick look; all end in the same character."""
    pattern: re.Pattern[str]

    def may_be_in(self, text: str) -> bool:
        """A quick look; one character is found some forty times as quickly as several."""
        return self.literals[0][-1] in text and any(literal in text for literal in self.literals)


class Hit(NamedTuple):
    """One place in a text."""

    kind: Kind
    start: int
    end: int


EMAIL = Kind(DataWarning.PERSONAL_DATA, "e-mail address")
CARD = Kind(DataWarning.PERSONAL_DATA, "card number")
IBAN = Kind(DataWarning.PERSONAL_DATA, "IBAN")
PASSWORD = Kind(DataWarning.SECRETS, "password or key in an assignment")
_SECRETS = tuple(
    Secret(Kind(DataWarning.SECRETS, name), literals, re.compile(pattern))
    for name, literals, pattern in (
        ("AWS access key", ("AKIA", "ASIA"), r"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"),
        ("private key", ("PRIVATE KEY",), r"-----BEGIN (?:[A-Z]{2,12} ){0,2}PRIVATE KEY(?: BLOCK)?-----"),
        (
            "GitHub token",
            ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
            r"(?<![A-Za-z0-9_])(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255})",
        ),
        ("GitLab token", ("glpat-",), r"(?<![A-Za-z0-9_])glpat-[A-Za-z0-9_-]{20,64}"),
        ("Slack token", ("xox",), r"(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{10,250}"),
        ("API key (sk-…)", ("sk-",), r"(?<![A-Za-z0-9_-])sk-(?=[A-Za-z_-]{0,199}[0-9])[A-Za-z0-9_-]{20,200}"),
        ("Stripe key", ("k_live_",), r"(?<![A-Za-z0-9_])[rs]k_live_[A-Za-z0-9]{20,255}"),
        ("Hugging Face token", ("hf_",), r"(?<![A-Za-z0-9_])hf_[A-Za-z0-9]{30,64}(?![A-Za-z0-9_])"),
        ("Google API key", ("AIza",), r"(?<![A-Za-z0-9_-])AIza[A-Za-z0-9_-]{35}"),
        (
            "JSON Web Token",
            ("eyJ",),
            r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,4000}\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{10,4000}",
        ),
        (
            "URL with a password",
            ("://",),
            r"(?<![A-Za-z0-9+.-])[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,64}:[^\s/:@]{3,128}@(?=[A-Za-z0-9\[])",
        ),
    )
)
"""Lengths are bounded, so that the searches are linear."""
_NAMES = ("password", "passwd", "passphrase", "pwd")
_HALF_NAMES = ("secret", "token", "key")
_BEFORE_HALF = ("api", "access", "secret", "private", "client", "auth", "bearer")
_LONGEST_BEFORE = 9
_VALUE = re.compile(r"[\"']?\s{0,4}(?:[:=]|is\b)\s{0,4}[\"'`]?([^\s\"'`,;<>{}()\[\]]{6,256})", re.IGNORECASE)
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@((?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24})(?![A-Za-z0-9-])"
)
_RESERVED = re.compile(r"(?:^|\.)(?:example\.(?:com|org|net)|example|test|invalid|localhost)$", re.IGNORECASE)
_DIGITS = re.compile(r"(?<![\dA-Za-z.+-])\d(?:[ -]?\d){12,18}(?![\dA-Za-z]|[.-]\d)")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_CARD = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|(?:5[1-5]\d{2}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720))\d{12}|3[47]\d{13}|"
    r"6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}"
)
DIGITS_AT_LEAST = 10
"""Fewer digits in a text are neither a card number nor an IBAN."""
_IBAN_LENGTHS = range(15, 35)


@dataclass(frozen=True)
class Search:
    """What to search some texts for: a quick look at all of them together tells what is in none of them.

    Args:
        emails: whether any has an @.
        secrets: kinds of secrets whose literal text any has.
        names: names of passwords and keys that any has.
    """

    emails: bool
    secrets: tuple[Secret, ...]
    names: tuple[str, ...]

    @classmethod
    def within(cls, texts: str) -> Self:
        """What to search for in parts of a text."""
        small = texts.lower()
        return cls(
            emails="@" in texts,
            secrets=tuple(secret for secret in _SECRETS if secret.may_be_in(texts)),
            names=tuple(name for name in (*_NAMES, *_HALF_NAMES) if name in small),
        )

    def find(self, text: str, digits: int) -> Iterator[Hit]:
        """Everything in a text that looks sensitive, kind by kind; in linear time.

        Args:
            text: one of the texts.
            digits: how many it has: with few of them, some searches are not needed.
        """
        if self.emails and "@" in text:
            yield from (Hit(EMAIL, *m.span()) for m in _EMAIL.finditer(text) if not _RESERVED.search(m[1]))
        if digits >= DIGITS_AT_LEAST:
            yield from (Hit(CARD, *m.span()) for m in _DIGITS.finditer(text) if _is_card(re.sub("[ -]", "", m[0])))
            yield from (Hit(IBAN, *m.span()) for m in _IBAN.finditer(text) if _is_iban(m[0].replace(" ", "")))
        for secret in self.secrets:
            if secret.may_be_in(text):
                yield from (Hit(secret.kind, *m.span()) for m in secret.pattern.finditer(text))
        if digits and self.names:  # a password without a digit is not told from a word
            yield from (Hit(PASSWORD, *m.span(1)) for m in _assigned(text, self.names) if _is_password(m[1]))


def find(text: str) -> Iterator[Hit]:
    """Everything in a text of any length that looks sensitive, kind by kind."""
    return Search.within(text).find(text, len(text))


def mask(text: str) -> str:
    """The text with everything that looks sensitive replaced by its kind: `[e-mail address]`."""
    pieces, at = [], 0
    for hit in sorted(find(text), key=lambda h: (h.start, -h.end)):
        if hit.start >= at:
            pieces += [text[at : hit.start], f"[{hit.kind.name}]"]
        at = max(at, hit.end)
    return "".join([*pieces, text[at:]])


def masked_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts by name, with `mask` over the names; those that are then the same are added up."""
    made: dict[str, int] = {}
    for name, count in counts.items():
        shown = mask(name)
        made[shown] = made.get(shown, 0) + count
    return made


def _assigned(text: str, names: tuple[str, ...]) -> Iterator[re.Match[str]]:
    """What is assigned to a name such as `password` or `api_key`; the name is found first, which is quick."""
    small = text.lower()
    if len(small) != len(text):  # some capitals have two small characters
        small = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    for name in names:
        at = small.find(name)
        while at >= 0:
            end = at + len(name)
            before = small[max(0, at - _LONGEST_BEFORE) : at].rstrip(" _-")
            if (name in _NAMES or before.endswith(_BEFORE_HALF)) and (match := _VALUE.match(text, end)):
                yield match
            at = small.find(name, end)


def _is_card(digits: str) -> bool:
    """Whether digits are a card number: an issuer's first digits and length, and the check digit (ISO/IEC 7812-1)."""
    if not _CARD.fullmatch(digits) or len(set(digits)) == 1:
        return False
    doubled = (int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits)))
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0  # noqa: PLR2004 - digits


def _is_iban(text: str) -> bool:
    """Whether a text is an IBAN: its check digits (ISO 13616, ISO 7064 mod 97-10)."""
    moved = text[4:] + text[:4]
    return len(text) in _IBAN_LENGTHS and int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def _is_password(value: str) -> bool:
    """Whether what is assigned looks made up by a person or machine: letters and digits, and no placeholder."""
    letters, digits = any(c.isalpha() for c in value), any(c.isdigit() for c in value)
    return letters and digits and not value.startswith(("$", "%", "os.", "http:", "https:")) and "…" not in value

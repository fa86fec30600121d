"""Hashes of runs of words over many texts at once: numpy over bytes, some nanoseconds each.

A word is a run of letters and digits; case (of ASCII) and all between words are passed over. Characters of scripts that
write no spaces (Chinese, Japanese, Korean) are a word each. A word's hash is a polynomial over its bytes modulo 2^64,
taken from sums over the whole batch (Karp & Rabin 1987), a run's hash the same over its words' hashes; both are mixed
(the finaliser of MurmurHash3, Appleby).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
_SEED = 20240229
_GAP, _WORD, _SYLLABLE = 0, 1, 2


def _kinds() -> npt.NDArray[np.uint8]:
    kinds = np.full(256, _GAP, np.uint8)
    kinds[[b for b in range(128) if chr(b).isalnum()]] = _WORD
    kinds[0x80:] = _WORD
    kinds[0xE3:0xEE] = _SYLLABLE  # the first byte of U+3000 to U+DFFF: kana, CJK, Hangul
    return kinds


def _values() -> Hashes:
    """A random number for each byte of a word, the same for capitals and small letters; 0 for what is between words."""
    random = np.random.default_rng(_SEED).integers(1, 2**63, 256, dtype=np.uint64)
    capitals = np.arange(ord("A"), ord("Z") + 1)
    random[capitals] = random[capitals + ord("a") - ord("A")]
    random[_kinds() == _GAP] = 0
    return random


_KINDS = _kinds()
_VALUES = _values()
_BASE = np.uint64(0x9E3779B97F4A7C15)
_INVERSE = np.uint64(pow(int(_BASE), -1, 2**64))


class Powers:
    """Powers of the base and of its inverse, as many as the longest batch so far needs."""

    def __init__(self) -> None:
        self._up = self._down = np.ones(1, np.uint64)

    def up(self, count: int) -> Hashes:
        """base^0 to base^(count - 1)."""
        self._grow(count)
        return self._up[:count]

    def down(self, count: int) -> Hashes:
        """base^0 to base^-(count - 1)."""
        self._grow(count)
        return self._down[:count]

    def down_at(self, exponents: Numbers) -> Hashes:
        """base^-e for each e; `up` was asked for as many before."""
        return self._down[exponents]

    def _grow(self, count: int) -> None:
        if count > len(self._up):
            size = max(count, 2 * len(self._up))
            self._up, self._down = _series(_BASE, size), _series(_INVERSE, size)


@dataclass(frozen=True)
class Batch:
    """The words of some texts.

    Args:
        joined: all texts, a line break after each.
        bytes_: the same in UTF-8.
        begins: index of each text's first byte.
        sums: of the words' hashes, times powers of the base, before each word; one longer than they are many.
        owner: index of the text that each word is in.
        powers: shared between batches.
    """

    joined: str
    bytes_: npt.NDArray[np.uint8]
    begins: Numbers
    sums: Hashes
    owner: Numbers
    powers: Powers

    def runs(self, length: int) -> tuple[Hashes, Numbers]:
        """The hash of every run of `length` words, and the text that each is in; none spans two texts."""
        hashes, owner, _ = self.placed_runs(length)
        return hashes, owner

    def placed_runs(self, length: int) -> tuple[Hashes, Numbers, Numbers]:
        """The same, and the index of each run's first word in the batch."""
        count = len(self.owner) - length + 1
        if count <= 0:
            return np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int64)
        hashes = (self.sums[length:] - self.sums[:count]) * self.powers.down(count)
        places = np.flatnonzero(self.owner[:count] == self.owner[length - 1 :])
        return mixed(hashes[places]), self.owner[places], places

    def digits(self) -> Numbers:
        """How many digits each text has."""
        is_digit = (self.bytes_ >= ord("0")) & (self.bytes_ <= ord("9"))
        return np.add.reduceat(is_digit, self.begins, dtype=np.int64)


def batch(texts: Sequence[str], powers: Powers) -> Batch:
    """Finds and hashes the words of some texts (together at most some hundred kilobytes, or memory is wasted)."""
    joined = "\n".join([*texts, ""])
    bytes_ = np.frombuffer(joined.encode("utf-8", "surrogatepass"), np.uint8)
    begins = np.cumsum([0, *(_size(text) + 1 for text in texts[:-1])])
    kinds = _KINDS[bytes_]
    in_word = kinds != _GAP
    is_first = kinds == _SYLLABLE
    is_first[:1] |= in_word[:1]
    is_first[1:] |= in_word[1:] & ~in_word[:-1]
    firsts = np.flatnonzero(is_first)
    values = _VALUES[bytes_]
    values *= powers.up(len(values))
    until = np.cumsum(values)  # what is between words adds nothing, so a word may end where the next one begins
    ends = until[np.append(firsts[1:], len(values)) - 1] if len(firsts) else until[:0]
    hashes = mixed((ends - until[firsts] + values[firsts]) * powers.down_at(firsts))
    sums = np.zeros(len(hashes) + 1, np.uint64)
    np.cumsum(hashes * powers.up(len(hashes)), out=sums[1:])
    words_of = np.diff(np.append(np.searchsorted(firsts, begins), len(firsts)))
    return Batch(joined, bytes_, begins, sums, np.repeat(np.arange(len(texts)), words_of), powers)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def mixed(hashes: Hashes) -> Hashes:
    """Spreads differences over all 64 bits, so that a few of them can be used alone."""
    shift = np.uint64(33)
    hashes = (hashes ^ (hashes >> shift)) * np.uint64(0xFF51AFD7ED558CCD)
    hashes = (hashes ^ (hashes >> shift)) * np.uint64(0xC4CEB9FE1A85EC53)
    return hashes ^ (hashes >> shift)


def _series(base: np.uint64, count: int) -> Hashes:
    factors: Any = np.full(count, base, np.uint64)
    factors[0] = 1
    return np.asarray(np.multiply.accumulate(factors), np.uint64)

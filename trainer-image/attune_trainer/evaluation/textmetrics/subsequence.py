"""The length of the longest common subsequence, many elements at once in the bits of a Python integer."""

from collections.abc import Hashable, Sequence


def longest_common(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """How many elements the longest common subsequence of two sequences has.

    A bit of `unmatched` stands for a place in `first`; each that becomes 0 is one more element in common. An answer of
    a thousand words takes milliseconds, where the table of dynamic programming takes half a second.

    Source: Hyyrö 2004, "Bit-parallel LCS-length computation revisited", after Crochemore et al. 2001.
    """
    places: dict[Hashable, int] = {}
    for i, element in enumerate(first):
        places[element] = places.get(element, 0) | 1 << i
    every = (1 << len(first)) - 1
    unmatched = every
    for element in second:
        here = unmatched & places.get(element, 0)
        unmatched = (unmatched + here | unmatched - here) & every
    return len(first) - unmatched.bit_count()

"""Which rows train, which training looks at its own progress with, and which are held out for evaluation."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Numbers = Any
"""A numpy array of whole numbers (numpy's own generic types say less than this docstring)."""

_EACH = 2
"""So few strata (wanted and unwanted answers) both have a row held out, or their difference could not be measured."""


@dataclass(frozen=True)
class Parts:
    """One byte per row each; what is in neither is learnt."""

    held_out: bytearray
    """1 for rows of test."""
    validation: bytearray
    """1 for rows that are kept apart from the rest of train."""

    @classmethod
    def of(cls, held_out: bytearray, rows: "Rows", fraction: float, seed: int) -> "Parts":
        """Keeps a part of what is not held out apart, in the way in which rows are held out.

        Args:
            held_out: 1 for rows of test; none of them is touched.
            rows: all rows.
            fraction: of the distinct prompts that are not held out; 0: none.
            seed: another seed gives another choice.
        """
        validation = bytearray(len(held_out))
        left = np.flatnonzero(np.frombuffer(bytes(held_out), np.uint8) == 0)
        if not fraction or not len(left):
            return cls(held_out, validation)
        prompts = [rows.prompts[i] for i in left.tolist()]
        strata = [rows.strata[i] for i in left.tolist()] if len(rows.strata) else []
        chosen = held_out_by_fraction(prompts, fraction, seed, strata, rows.labels)
        marks = np.frombuffer(validation, np.uint8)
        marks[left] = np.frombuffer(chosen, np.uint8)
        return cls(held_out, validation)


@dataclass(frozen=True)
class Rows:
    """What a split looks at.

    Args:
        prompts: one 64-bit digest per row.
        strata: the number of each row's label; empty where rows have none.
        labels: the labels by number.
    """

    prompts: Sequence[int]
    strata: Sequence[int] = ()
    labels: Sequence[str] = ()


def held_out_by_fraction(
    prompts: Sequence[int], fraction: float, seed: int, strata: Sequence[int] = (), labels: Sequence[str] = ()
) -> bytearray:
    """Chooses rows to hold out.

    Each distinct prompt gets a pseudo-random place from its digest and the seed, and of each stratum the first
    `fraction` of prompts is held out: the choice depends on neither the order of rows nor on other rows' answers, and
    equal prompts stay together. At least one prompt is held out, unless each of several strata has but one. Of a
    stratum, at least one stays to train on (unless there is no other prompt at all) and, where the fraction is enough
    for that or there are but two strata, at least one is held out. What rounding leaves over goes to the strata that it
    took most from.

    Args:
        prompts: one 64-bit digest per row.
        fraction: of distinct prompts, over 0 and under 1.
        seed: another seed gives another choice.
        strata: the number of each row's label; empty where rows have none.
        labels: the labels by number.

    Returns:
        One byte per row, 1 where it is held out.
    """
    if not len(prompts):
        return bytearray()
    places = _places(np.array(prompts, dtype=np.uint64), seed)
    distinct, of_row = np.unique(places, return_inverse=True)
    groups = _groups(of_row, len(distinct), strata, labels)
    wanted = _shares([len(group) for group in groups], fraction)
    chosen = np.zeros(len(distinct), dtype=np.uint8)
    for group, count in zip(groups, wanted, strict=True):
        chosen[group[:count]] = 1  # `distinct` is sorted, and so is every group of it
    return bytearray(chosen[of_row].tobytes())


def _places(prompts: Numbers, seed: int) -> Numbers:
    """A pseudo-random number for each prompt: splitmix64 (Steele, Lea and Flood 2014) of digest and seed."""
    with np.errstate(over="ignore"):
        mixed = prompts + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))


def _groups(of_row: Numbers, prompts: int, strata: Sequence[int], labels: Sequence[str]) -> list[Numbers]:
    """Numbers of the prompts of each stratum. A prompt that has several labels is of a stratum with all such prompts.

    Strata are in the order of their labels, not in that in which they were met.
    """
    if not len(strata):
        return [np.arange(prompts)]
    ranks = np.empty(len(labels), dtype=np.int64)
    ranks[sorted(range(len(labels)), key=labels.__getitem__)] = np.arange(len(labels))
    ranks = ranks[np.array(strata)]
    pairs = np.unique(np.stack([of_row, ranks], axis=1), axis=0)
    counts = np.bincount(pairs[:, 0], minlength=prompts)
    names = np.full(prompts, "", dtype=object)
    single = counts[pairs[:, 0]] == 1
    names[pairs[single, 0]] = [f"{rank:08d}" for rank in pairs[single, 1]]
    for prompt, rank in pairs[~single]:
        names[prompt] += f"{rank:08d}"
    _, group_of = np.unique(names, return_inverse=True)
    ends = np.cumsum(np.bincount(group_of))[:-1]
    return np.split(np.argsort(group_of, kind="stable"), ends)


def _shares(sizes: list[int], fraction: float) -> list[int]:
    """How many prompts of each stratum are held out: largest remainders (Hamilton), within what may be taken."""
    total = sum(sizes)
    most = [max(0, size - 1) for size in sizes]
    if sizes == [1]:
        most = sizes  # either side would be empty; verdict.py says so
    wanted = min(max(1, round(fraction * total)), max(1, total - 1), sum(most))
    several = sum(limit > 0 for limit in most)
    wanted = max(wanted, min(several, _EACH))
    least = int(wanted >= several)
    shares = [min(max(least, int(fraction * size)), limit) for size, limit in zip(sizes, most, strict=True)]
    lacking = [(share - fraction * size, i) for i, (size, share) in enumerate(zip(sizes, shares, strict=True))]
    lacking = [(lack, i) for lack, i in lacking if shares[i] < most[i]]
    heapq.heapify(lacking)
    for _ in range(wanted - sum(shares)):
        lack, i = lacking[0]
        shares[i] += 1
        if shares[i] < most[i]:
            heapq.heapreplace(lacking, (lack + 1, i))
        else:
            heapq.heappop(lacking)
    return shares

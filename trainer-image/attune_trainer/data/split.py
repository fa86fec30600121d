"""Which rows train and which are held out, and what there is to say of the two sides."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from attune_contract.outcome import TokenFigures
from attune_trainer.data import canonical
from attune_trainer.data.check import Kept

CLOSED_SET = 64
"""Accuracy chooses among at most so many answers; scoring each costs a pass over the row."""


@dataclass(frozen=True)
class Sides:
    """The two parquet files and their figures."""

    train: Path
    test: Path
    train_rows: int
    test_rows: int
    duplicate_rows: int
    leaked_rows: int
    truncated_rows: int
    tokens: TokenFigures
    answers: int
    """Distinct answers in train, counted up to CLOSED_SET + 1."""


def held_out_by_fraction(prompts: Iterable[int], fraction: float, seed: int) -> bytearray:
    """Chooses rows to hold out.

    Each distinct prompt gets a pseudo-random place from its digest and the seed, and the first `fraction` of prompts is
    held out: the choice depends on neither the order of rows nor on other rows' answers, and equal prompts stay
    together. At least one prompt is held out and, where there are two, one is not.

    Args:
        prompts: one 64-bit digest per row.
        fraction: of distinct prompts, over 0 and under 1.
        seed: another seed gives another choice.

    Returns:
        One byte per row, 1 where it is held out.
    """
    places = [_place(prompt, seed) for prompt in prompts]
    distinct = sorted(set(places))
    wanted = min(max(1, round(fraction * len(distinct))), max(1, len(distinct) - 1))
    limit = distinct[wanted - 1] if distinct else 0
    return bytearray(place <= limit for place in places)


def write_sides(spool: Path, kept: Kept, held_out: bytearray, folder: Path, sequence_length: int) -> Sides:
    """Writes train.parquet and test.parquet from the checked rows, and counts what the report tells."""
    train, test = folder / "train.parquet", folder / "test.parquet"
    answers: set[str] = set()
    with canonical.Writer(train) as to_train, canonical.Writer(test) as to_test:
        for example, out in zip(canonical.read(spool), held_out, strict=True):
            (to_test if out else to_train).write(example)
            if not out and len(answers) <= CLOSED_SET:
                answers.add(example.answer)
    in_train = [i for i, out in enumerate(held_out) if not out]
    seen = {kept.examples[i] for i in in_train}
    return Sides(
        train=train,
        test=test,
        train_rows=len(in_train),
        test_rows=len(held_out) - len(in_train),
        duplicate_rows=len(in_train) - len(seen),
        leaked_rows=sum(kept.examples[i] in seen for i, out in enumerate(held_out) if out),
        truncated_rows=sum(kept.tokens[i] > sequence_length for i in in_train),
        tokens=token_figures(kept.tokens[i] for i in in_train),
        answers=len(answers),
    )


def token_figures(lengths: Iterable[int]) -> TokenFigures:
    """Sum, median, 95th percentile (nearest rank) and maximum of some lengths, in tokens."""
    counts = Counter(lengths)
    rows = counts.total()
    if not rows:
        return TokenFigures()
    return TokenFigures(
        total=sum(length * n for length, n in counts.items()),
        p50=_nearest_rank(counts, rows, 50),
        p95=_nearest_rank(counts, rows, 95),
        max=max(counts),
    )


def _nearest_rank(counts: Counter[int], rows: int, percent: int) -> int:
    rank = -(-percent * rows // 100)
    passed = 0
    for length in sorted(counts):
        passed += counts[length]
        if passed >= rank:
            return length
    raise AssertionError("a percentile is always reached")


def _place(prompt: int, seed: int) -> int:
    digest = hashlib.blake2b(prompt.to_bytes(8, "big"), digest_size=8, key=str(seed).encode())
    return int.from_bytes(digest.digest(), "big")

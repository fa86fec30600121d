"""Do labels come in other shares than in the training rows? The population stability index, with its own threshold.

The usual rule (0.1 some, 0.25 much) knows nothing of rows: two samples of 50 rows with ten labels are mostly over 0.25
though nothing has moved, and of 100,000 rows a real shift may lie far below 0.1. So the threshold comes from permuting
which rows are called recent, which for counts is a draw from the multivariate hypergeometric distribution: exact for
any number of rows.

Sources: Siddiqi 2006, "Credit risk scorecards" (the index); Yurdakul and Naranjo 2020, Journal of Risk Model
Validation 14(4) (why a fixed threshold is wrong).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from attune_contract.monitoring import FEW_LABELS, NAMED_IN, LabelShift, MovedLabel
from attune_trainer.monitoring import levels

Counts = NDArray[np.int64]
MOST_LABELS = 50
"""Of more labels the rarest count as one."""
_REST = "(all others)"
_HALF = 0.5
"""Added to each count, so that a label that one side lacks has a finite share (Jeffreys)."""


def compare(train: Mapping[str, int], recent: Mapping[str, int], level: float, seed: int) -> LabelShift | None:
    """Whether labels have moved; None where there are not two of them.

    Args:
        train: rows by label among those of training.
        recent: rows by label among the recent ones.
        level: largest p-value that counts as a shift.
        seed: of permutations.
    """
    names, before, now = _table(train, recent)
    if len(names) < 2 or not before.sum() or not now.sum():  # noqa: PLR2004 - of one label there is no share
        return None
    found = float(psi(before, now))
    draw = np.random.default_rng(seed)
    drawn_now = draw.multivariate_hypergeometric(
        before + now, int(now.sum()), size=levels.permutations(level), method="marginals"
    )
    drawn = psi(before + now - drawn_now, drawn_now)
    p_value = levels.p_value(found, drawn.tolist())
    drifted = p_value <= level
    return LabelShift(
        psi=round(found, 4),
        threshold=round(float(np.quantile(drawn, 1 - level, method="higher")), 4),
        p_value=float(f"{p_value:.4g}"),
        rows=int(now.sum()),
        drifted=drifted,
        moved=_moved(names, before, now) if drifted else (),
    )


def psi(before: Counts, now: Counts) -> NDArray[np.float64]:
    """The index of counts (… x labels): sum of (q - p) ln(q / p)."""
    p, q = (_shares(counts) for counts in (before, now))
    found: NDArray[np.float64] = ((q - p) * np.log(q / p)).sum(axis=-1)
    return found


def _shares(counts: Counts) -> NDArray[np.float64]:
    smoothed = counts + _HALF
    shares: NDArray[np.float64] = smoothed / smoothed.sum(axis=-1, keepdims=True)
    return shares


def _table(train: Mapping[str, int], recent: Mapping[str, int]) -> tuple[list[str], Counts, Counts]:
    """Labels, most frequent first, with both sides' counts. Which are merged does not depend on who is recent."""
    together = {name: train.get(name, 0) + recent.get(name, 0) for name in {*train, *recent}}
    order = sorted(together, key=lambda name: (-together[name], name))
    kept, rest = order[:MOST_LABELS], order[MOST_LABELS:]
    columns = [[side.get(name, 0) for name in kept] for side in (train, recent)]
    if rest:
        kept = [*kept, _REST]
        for column, side in zip(columns, (train, recent), strict=True):
            column.append(sum(side.get(name, 0) for name in rest))
    before, now = (np.array(column, dtype=np.int64) for column in columns)
    return kept, before, now


def _moved(names: list[str], before: Counts, now: Counts) -> tuple[MovedLabel, ...]:
    """The labels whose share moved most. One that few rows have is not named: it may be a text that somebody wrote."""
    p, q = before / before.sum(), now / now.sum()
    order = [i for i in np.argsort(-np.abs(q - p), kind="stable") if q[i] != p[i] and before[i] + now[i] >= NAMED_IN]
    return tuple(
        MovedLabel(label=names[i], before=round(float(p[i]), 4), now=round(float(q[i]), 4)) for i in order[:FEW_LABELS]
    )

"""Do people ask otherwise than in the training rows? A classifier that tries to tell the two apart says so.

Rows of both sides are dealt at random into parts. A classifier learns from the first part which rows are recent and is
asked about the second, learns from both and is asked about the third, and so on. Where nothing has moved, which rows of
a part are recent is pure chance whatever was learnt before it, so the ranks of its recent rows are a draw without
replacement: permuting them within each part gives the exact distribution of the mean AUC, though each row but those of
the first part is asked about and most are learnt from too. Cross-validation, where parts are learnt from before and
after they are asked about, has no such distribution without training again for every permutation.

Sources: Lopez-Paz and Oquab 2017, "Revisiting classifier two-sample tests" (ICLR); Rabanser, Günnemann and Lipton 2019,
"Failing loudly" (NeurIPS), who find it the test of choice; Dawid 1984, Journal of the Royal Statistical Society A
147:278-292 (forecasts judged in sequence); Mann and Whitney 1947 (a rank sum depends on nothing but the counts).
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from attune_contract.monitoring import FEW_WORDS, NAMED_IN, InputDrift
from attune_trainer.monitoring import levels

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Parts = NDArray[np.int64]
_WORD = re.compile(r"[^\W\d_]{2,}")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
_MOST_WORDS = 20_000
LEAST = _PARTS = 8
"""Rows that either side must have: one for each part."""
_STRENGTH = 0.1
"""Inverse of the L2 penalty: with a few hundred rows and thousands of words, a strong one finds more."""
_AT_ONCE = 2_000_000  # numbers in memory


def compare(train: Sequence[str], recent: Sequence[str], level: float, seed: int) -> InputDrift:
    """Whether recent prompts can be told from those of training.

    Args:
        train: prompts of training rows, `LEAST` of them or more.
        recent: recent prompts, as many or more.
        level: largest p-value that counts as drift.
        seed: of parts and permutations.
    """
    draw = np.random.default_rng(seed)
    is_recent = np.array([False] * len(train) + [True] * len(recent))
    vectorizer = TfidfVectorizer(
        analyzer=words, min_df=2, max_features=_MOST_WORDS, sublinear_tf=True, dtype=np.float64
    )
    try:
        rows = vectorizer.fit_transform([*train, *recent])
    except ValueError:  # no word is in two rows: nothing by which to tell them apart
        return InputDrift(score=0.5, threshold=0.5, p_value=1.0, rows=len(recent), drifted=False)
    found, drawn = _tested(rows, is_recent, _dealt(is_recent, draw), level, draw)
    p_value = levels.p_value(found, drawn.tolist())
    drifted = p_value <= level
    more, less = _moved(rows, is_recent, vectorizer.get_feature_names_out()) if drifted else ((), ())
    return InputDrift(
        score=round(found, 4),
        threshold=round(float(np.quantile(drawn, 1 - level, method="higher")), 4),
        p_value=float(f"{p_value:.4g}"),
        rows=len(recent),
        drifted=drifted,
        more=more,
        less=less,
    )


def words(text: str) -> list[str]:
    """The words of a text in lower case. Numbers are none: every week has its own dates, orders and amounts.

    Scripts without spaces give pairs of characters.
    """
    every: list[str] = _WORD.findall(text.lower())
    if _UNSPACED.search(text) is None:
        return every
    found: list[str] = []
    for word in every:
        at = 0
        for run in _UNSPACED.finditer(word):
            found += [word[at : run.start()]] if run.start() - at > 1 else []
            found += [run[0][i : i + 2] for i in range(max(1, len(run[0]) - 1))]
            at = run.end()
        found += [word[at:]] if len(word) - at > 1 else []
    return found


def _dealt(is_recent: Flags, draw: np.random.Generator) -> Parts:
    """The part of each row: as many of each side's rows in every part."""
    parts = np.zeros(len(is_recent), dtype=np.int64)
    for side in (False, True):
        rows = draw.permutation(np.flatnonzero(is_recent == side))
        parts[rows] = np.arange(len(rows)) % _PARTS
    return parts


def _tested(rows: Any, is_recent: Flags, parts: Parts, level: float, draw: np.random.Generator) -> tuple[float, Floats]:
    """The mean AUC over the parts that are asked about, and the same of each permutation."""
    found, drawn = [], []
    for part in range(1, _PARTS):
        asked = parts == part
        scores = _classifier(rows[parts < part], is_recent[parts < part]).decision_function(rows[asked])
        ranks = rankdata(scores + 1e-9 * draw.random(len(scores)))  # ties are broken by lot
        here = is_recent[asked]
        recent, count = int(here.sum()), len(here)
        found.append(_auc(ranks[here].sum(), recent, count))
        sums = [_rank_sums(ranks, recent, many, draw) for many in _portions(level, count)]
        drawn.append(_auc(np.concatenate(sums), recent, count))
    return float(np.mean(found)), np.mean(drawn, axis=0)


def _classifier(rows: Any, is_recent: Flags) -> LogisticRegression:
    made = LogisticRegression(C=_STRENGTH, class_weight="balanced", solver="liblinear", random_state=0)
    return made.fit(rows, is_recent)


def _portions(level: float, rows: int) -> Iterator[int]:
    """Permutations, as many at once as memory is good for."""
    left, most = levels.permutations(level), max(1, _AT_ONCE // rows)
    while left > 0:
        yield min(left, most)
        left -= most


def _rank_sums(ranks: Floats, recent: int, count: int, draw: np.random.Generator) -> Floats:
    """Sums of the ranks of as many rows as are recent, drawn without replacement, again and again."""
    chosen = np.argpartition(draw.random((count, len(ranks)), dtype=np.float32), recent - 1, axis=1)[:, :recent]
    found: Floats = ranks[chosen].sum(axis=1)
    return found


def _auc(rank_sums: Any, positive: int, rows: int) -> Any:
    """Area under the curve from the sum of the ranks of the positive rows."""
    return (rank_sums - positive * (positive + 1) / 2) / (positive * (rows - positive))


def _moved(rows: Any, is_recent: Flags, names: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words that became more and less frequent, those first that the classifier tells the sides apart by.

    The difference of the sides' mean scores is the sum over words of weight times difference of means, which is what
    words are ordered by.
    """
    weights = _classifier(rows, is_recent).coef_[0]
    apart = np.asarray(rows[is_recent].mean(axis=0) - rows[~is_recent].mean(axis=0)).ravel()
    part = weights * apart
    often = np.asarray((rows > 0).sum(axis=0)).ravel() >= NAMED_IN
    order = [i for i in np.argsort(-part) if part[i] > 0 and often[i]]
    more = tuple(str(names[i]) for i in order if apart[i] > 0)
    less = tuple(str(names[i]) for i in order if apart[i] < 0)
    return more[:FEW_WORDS], less[:FEW_WORDS]

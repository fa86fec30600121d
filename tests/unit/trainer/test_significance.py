"""Evidence against published figures and reference libraries, and that interval and p-value never disagree."""

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from sacrebleu import corpus_bleu
from scipy import stats

from attune_contract.enums import MetricName
from attune_contract.gate import Check, CheckKind
from attune_contract.spec import Requirement
from attune_trainer.evaluation.significance import checks, comparing
from attune_trainer.evaluation.significance.checks import Means, Measured
from attune_trainer.evaluation.significance.evidence import Evidence, side
from attune_trainer.evaluation.significance.figures import PERPLEXITY, SHARE, Figures, column, mean, shape_of
from attune_trainer.evaluation.significance.pairs import Pairs, Score
from attune_trainer.evaluation.significance.resampling import Draws, Resampled, parts_of, swap_test
from attune_trainer.evaluation.significance.shares import Share
from attune_trainer.evaluation.textmetrics.answers import TokenF1
from attune_trainer.evaluation.textmetrics.base import Floats, Metric
from attune_trainer.evaluation.textmetrics.labels import Accuracy, LabelLogLoss
from attune_trainer.evaluation.textmetrics.likelihoods import Perplexity
from attune_trainer.evaluation.textmetrics.translation import Bleu

DRAWS = Draws(seed=17, resamples=1_999)
MEANS = Means(0.95, DRAWS)
LEVEL = 0.025


def rows_of(*figures: float) -> Floats:
    return column(np.array(figures, dtype=np.float64))


@pytest.mark.parametrize(
    ("right", "rows", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17:857-872, table I, Clopper and Pearson.
        pytest.param(81, 263, 0.2527, 0.3676, id="81-of-263"),
        pytest.param(15, 148, 0.0578, 0.1617, id="15-of-148"),
        pytest.param(0, 20, 0.0, 0.1684, id="0-of-20"),
        pytest.param(1, 29, 0.0009, 0.1776, id="1-of-29"),
        pytest.param(20, 20, 0.8316, 1.0, id="20-of-20"),
    ],
)
def test_interval_of_one_share(right: int, rows: int, low: float, high: float) -> None:
    assert Share(right, rows).interval(0.95) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize(("right", "rows", "bar"), [(18, 20, 0.85), (3, 20, 0.4), (0, 9, 0.5), (9, 9, 0.5)])
def test_one_share_against_scipy(right: int, rows: int, bar: float) -> None:
    found = Share(right, rows)
    above = stats.binomtest(right, rows, bar, alternative="greater").pvalue
    below = stats.binomtest(right, rows, bar, alternative="less").pvalue
    assert (found.above(bar), found.below(bar)) == (pytest.approx(above), pytest.approx(below))


@pytest.mark.parametrize(
    ("score", "level", "low", "high"),
    [
        # Fagerland, Lydersen and Laake 2014, Statistics in Medicine 33:2850-2875: airway responsiveness, 1 1 7 12.
        pytest.param(Score(1, 7, 21, 0), 0.025, -0.517, -0.026, id="airways"),
        # R, PropCIs 0.3: scoreci.mp(25, 28, 618, 0.90), which is of the second count less the first.
        pytest.param(Score(28, 25, 618, 0), 0.05, -0.0148, 0.0247, id="PropCIs"),
        # Nothing changed: z^2 / (rows + z^2) on either side (Tango 1998, section 4).
        pytest.param(Score(0, 0, 30, 0), 0.025, -0.1135, 0.1135, id="nothing-changed"),
    ],
)
def test_score_interval_without_correction_is_tangos(score: Score, level: float, low: float, high: float) -> None:
    assert (score.low(level), score.high(level)) == (pytest.approx(low, abs=6e-4), pytest.approx(high, abs=6e-4))


def test_score_test_at_no_difference_is_mcnemars() -> None:
    # Agresti, Categorical Data Analysis, approval ratings: z^2 = (150 - 86)^2 / (150 + 86) = 17.36.
    p = Score(150, 86, 1600, 0).above(0.0)
    assert stats.norm.isf(p) ** 2 == pytest.approx(17.36, abs=5e-3)


@pytest.mark.parametrize(("gained", "lost"), [(6, 0), (10, 2), (2, 10), (0, 0), (5, 5), (150, 86)])
def test_at_bar_zero_a_paired_share_is_a_fair_coin(gained: int, lost: int) -> None:
    found = Pairs(gained, lost, 1600)
    if gained + lost == 0:
        assert (found.above(0.0), found.below(0.0)) == (1.0, 1.0)
        return
    expected = [stats.binomtest(gained, gained + lost, 0.5, alternative=a).pvalue for a in ("greater", "less")]
    assert [found.above(0.0), found.below(0.0)] == pytest.approx(expected)


@pytest.mark.parametrize("rows", [10, 30, 100])
@pytest.mark.parametrize("bar", [-0.3, -0.1, -0.02, 0.02, 0.05, 0.1, 0.3])
def test_the_score_test_keeps_its_level_whatever_the_share_of_rows_that_change(rows: int, bar: float) -> None:
    gained, lost = (counts[np.add(*np.indices((rows + 1, rows + 1))) <= rows] for counts in np.indices((rows + 1,) * 2))
    passes = np.array([Score(g, b, rows).above(bar) <= LEVEL for g, b in zip(gained, lost, strict=True)])
    tables = np.stack([gained, lost, rows - gained - lost], axis=1)[passes]
    worst = max(
        stats.multinomial.pmf(tables, rows, [(changed + bar) / 2, (changed - bar) / 2, 1 - changed]).sum()
        for changed in np.linspace(abs(bar), 0.9, 12)
    )
    assert worst <= LEVEL


def _evidence() -> list[tuple[str, Evidence]]:
    rng = np.random.default_rng(3)
    skewed = rng.exponential(size=40) - 0.8
    few = np.where(rng.random(40) < 0.15, rng.random(40), 0.0)
    return [
        ("share", Share(17, 20)),
        ("pairs", Pairs(9, 2, 40)),
        ("few-pairs", Pairs(2, 0, 12)),
        ("pairs-in-part", Pairs(3.5, 0.25, 30, unit=2.0)),
        ("mean", Resampled(float(skewed.mean()), skewed, DRAWS)),
        ("gain", comparing.gain(Figures(mean(), column(skewed), column(np.zeros(40))), DRAWS)),
        ("few-changed", comparing.gain(Figures(mean(span=1), column(few), column(np.zeros(40))), DRAWS)),
    ]


@pytest.mark.parametrize(("found"), [pytest.param(e, id=name) for name, e in _evidence()])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_a_p_value_is_small_exactly_where_the_interval_leaves_the_bar_out(found: Evidence, confidence: float) -> None:
    low, high = found.interval(confidence)
    level = side(confidence)
    bars = [0.0, *np.linspace(-0.9, 0.99, 64), *(e + d for e in (low, high) if e is not None for d in (-1e-6, 1e-6))]
    for bar in (b for b in bars if -1 < b < 1):
        outside = (low is not None and bar < low - 1e-9), (high is not None and bar > high + 1e-9)
        assert (found.above(bar) <= level, found.below(bar) <= level) == outside, bar


def test_an_interval_holds_the_estimate_and_turns_with_the_models() -> None:
    low, high = Pairs(9, 2, 40).interval(0.95)
    turned = Pairs(2, 9, 40).interval(0.95)
    assert low is not None
    assert high is not None
    assert low < 7 / 40 < high
    assert turned == (pytest.approx(-high), pytest.approx(-low))


def test_swapping_is_scipys_permutation_test() -> None:
    rng = np.random.default_rng(5)
    tuned, base = rng.random(11), rng.random(11)
    above, below = swap_test(lambda ours, theirs: (ours - theirs)[..., 0], rows_of(*tuned), rows_of(*base), Draws(17))
    for found, which in ((above, "greater"), (below, "less")):
        expected = stats.permutation_test(
            (tuned, base),
            lambda x, y, axis: (x - y).mean(axis=axis),
            permutation_type="samples",
            alternative=which,
            vectorized=True,
            n_resamples=np.inf,
        ).pvalue
        assert found == pytest.approx(expected)


def test_many_rows_are_swapped_at_random_and_in_pieces() -> None:
    rng = np.random.default_rng(5)
    tuned = rng.normal(0.02, 1, 5_000)
    above, below = swap_test(
        lambda ours, theirs: (ours - theirs)[..., 0], column(tuned), column(np.zeros(5_000)), DRAWS
    )
    t = stats.ttest_1samp(tuned, 0.0, alternative="greater").pvalue
    assert (above, below) == (pytest.approx(t, abs=0.04), pytest.approx(1 - t, abs=0.04))


def test_pseudo_values_of_a_published_ratio() -> None:
    # Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 10: hormone patches; ratio -0.0713,
    # jackknife estimate of bias 0.0080.
    z = [8406, 2342, 8187, 8459, 4795, 3516, 4796, 10238]
    y = [-1200, 2601, -2705, 1982, -1290, 351, -638, -2719]
    ratio, parts = parts_of(lambda sums: sums[..., 1] / sums[..., 0], np.array([z, y], dtype=np.float64).T)
    assert (ratio, ratio - parts.mean()) == (pytest.approx(-0.0713, abs=5e-5), pytest.approx(0.0080, abs=5e-5))


def test_pseudo_values_of_a_mean_are_the_rows() -> None:
    rows = np.array([0.2, 0.9, 0.4])
    estimate, parts = parts_of(mean().value, column(rows))
    assert estimate == pytest.approx(0.5)
    assert parts == pytest.approx(rows)


def test_the_bootstrap_of_ordinary_figures_is_near_students_t() -> None:
    rows = np.random.default_rng(2).normal(1, 2, 200)
    found = Resampled(float(rows.mean()), rows, Draws(17)).interval(0.95)
    expected = stats.ttest_1samp(rows, 0.0).confidence_interval(0.95)
    assert found == (pytest.approx(expected.low, abs=0.03), pytest.approx(expected.high, abs=0.03))


def test_the_same_seed_gives_the_same_figures_and_pieces_change_nothing_much() -> None:
    rows = np.random.default_rng(2).exponential(size=3_000)
    found = [Resampled(float(rows.mean()), rows, Draws(seed)).interval(0.95) for seed in (1, 1, 2)]
    assert found[0] == found[1]
    assert found[0] == (pytest.approx(found[2].low, abs=2e-3), pytest.approx(found[2].high, abs=2e-3))


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        pytest.param(Accuracy(), (True, True, 1.0, False, False), id="share"),
        pytest.param(TokenF1(), (True, False, 1.0, False, False), id="bounded-mean"),
        pytest.param(LabelLogLoss(("a", "b")), (True, False, None, False, True), id="lower-is-better"),
        pytest.param(Perplexity(), (False, False, None, True, True), id="ratio"),
        pytest.param(Bleu(), (False, False, None, False, False), id="corpus"),
    ],
)
def test_the_shape_of_a_metric(metric: Metric[Any, Any], expected: tuple[object, ...]) -> None:
    found = shape_of(metric)
    assert (found.mean, found.whole, found.span, found.ratio, found.lower_is_better) == expected


def test_corpus_metrics_are_compared_by_their_own_sums() -> None:
    metric, expected = Bleu(), ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog"]
    said = [" ".join(expected[: 4 + i % 6]) for i in range(40)]
    worse = [" ".join(expected[: 4 + i % 3]) for i in range(40)]
    tuned, base = (np.array([metric.row(a, " ".join(expected)) for a in answers]) for answers in (said, worse))
    found = only(Requirement(metric=MetricName.BLEU, min_improvement=1.0), Figures(shape_of(metric), tuned, base))
    by_sacrebleu = [corpus_bleu(answers, [[" ".join(expected)] * 40]).score for answers in (said, worse)]
    assert found.estimate == pytest.approx(by_sacrebleu[0] - by_sacrebleu[1], rel=1e-5)
    assert found.p_pass <= LEVEL


@pytest.mark.parametrize(
    ("same", "bar", "above"),
    [
        pytest.param(rows_of(*[0.3] * 5), 0.2, 1 / 32, id="five-alike"),
        pytest.param(rows_of(*[0.3] * 5), 0.3, 1.0, id="at-the-bar"),
        pytest.param(rows_of(0.3), 0.2, 1.0, id="one-row"),
    ],
)
def test_rows_that_are_all_alike_are_as_sure_as_coins(same: Floats, bar: float, above: float) -> None:
    assert comparing.value(Figures(mean(), same), DRAWS).above(bar) == above


@pytest.mark.parametrize(("changed", "kind"), [(9, Pairs), (10, Resampled)])
def test_few_rows_that_change_are_judged_by_what_they_could_be(changed: int, kind: type) -> None:
    tuned = rows_of(*[0.5] * changed, *[0.0] * (50 - changed))
    assert isinstance(comparing.gain(Figures(mean(span=1), tuned, column(np.zeros(50))), DRAWS), kind)


def measured(metric: MetricName, figures: Figures) -> tuple[Measured, ...]:
    return (Measured(metric, "base", figures),)


def only(requirement: Requirement, figures: Figures) -> Check:
    (found,) = checks.checks((requirement,), measured(requirement.metric, figures), MEANS)
    return found


def test_a_gain_in_perplexity_is_positive_and_a_minimum_is_the_most_that_will_do() -> None:
    rng = np.random.default_rng(6)
    tokens = rng.integers(5, 40, (60, 1)).astype(float)
    base = tokens * rng.normal(2.0, 0.2, (60, 1))
    figures = Figures(
        PERPLEXITY, np.hstack([base - tokens * rng.normal(0.3, 0.1, (60, 1)), tokens]), np.hstack([base, tokens])
    )
    gain = only(Requirement(metric=MetricName.PERPLEXITY, min_improvement=1.0), figures)
    most = only(Requirement(metric=MetricName.PERPLEXITY, minimum=7.0), figures)

    assert gain.estimate is not None
    assert (gain.estimate > 1.0, gain.p_pass <= LEVEL, gain.p_fail > 0.5) == (True, True, True)
    assert (most.value, most.p_pass <= LEVEL) == (most.estimate, True)
    assert most.low is not None
    assert most.high is not None
    assert most.low < most.high < 7.0
    assert comparing.difference(figures, 0.95, DRAWS).delta == pytest.approx(-gain.estimate, rel=1e-5)


def test_forgetting_is_judged_by_ratio() -> None:
    rng = np.random.default_rng(7)
    tokens = rng.integers(20, 60, (80, 1)).astype(float)
    base = tokens * rng.normal(2.0, 0.3, (80, 1))
    worse = base + tokens * rng.normal(math.log(1.3), 0.05, (80, 1))
    found = checks.perplexity_forgotten(np.hstack([worse, tokens]), np.hstack([base, tokens]), 0.10, MEANS)

    assert (found.kind, found.bar) == (CheckKind.FORGETTING, pytest.approx(1.1))
    assert found.estimate == pytest.approx(1.3, abs=0.03)
    assert found.low is not None
    assert found.low > found.bar
    assert (found.p_pass > 0.5, found.p_fail <= LEVEL) == (True, True)


def test_mean_token_kl_is_weighted_by_tokens() -> None:
    divergence = np.array([[1.0, 10], [6.0, 20], [2.5, 30], [2.5, 40]] * 10)
    found = checks.tokens_diverged(divergence, 0.5, MEANS)
    assert (found.value, found.p_pass <= LEVEL) == (pytest.approx(0.12), True)


def test_regressions_are_looked_for_in_each_slice() -> None:
    tuned, base = rows_of(*[1.0] * 30, *[0.0] * 20), rows_of(*[0.0] * 10, *[1.0] * 40)
    requirement = Requirement(metric=MetricName.ACCURACY, max_regression=0.1)
    slices = {"language=de": np.arange(50) >= 30, "language=en": np.arange(50) < 30}
    found = checks.checks((requirement,), measured(MetricName.ACCURACY, Figures(SHARE, tuned, base)), MEANS, slices)
    assert [(c.slice, c.rows, c.estimate) for c in found] == [
        (None, 50, pytest.approx(-0.2)),
        ("language=de", 20, -1.0),
        ("language=en", 30, pytest.approx(1 / 3, rel=1e-5)),
    ]


@pytest.mark.parametrize(
    ("figures", "rows"),
    [
        pytest.param(Figures(PERPLEXITY, np.full((9, 2), np.nan), np.ones((9, 2))), 9, id="tuned-is-no-number"),
        pytest.param(Figures(PERPLEXITY, np.ones((9, 2)), np.full((9, 2), np.nan)), 9, id="base-is-no-number"),
        pytest.param(Figures(PERPLEXITY, np.array([[9e9, 1.0]] * 9), np.ones((9, 2))), 9, id="infinite"),
        pytest.param(Figures(PERPLEXITY, np.ones((0, 2)), np.ones((0, 2))), 0, id="no-rows"),
    ],
)
def test_what_is_no_number_is_never_sure(figures: Figures, rows: int) -> None:
    found = only(Requirement(metric=MetricName.PERPLEXITY, min_improvement=0.1), figures)
    assert (found.estimate, found.p_pass, found.p_fail, found.rows) == (None, 1.0, 1.0, rows)


def test_a_metric_that_was_not_measured_has_no_check() -> None:
    figures = Figures(SHARE, rows_of(1, 0), rows_of(0, 0))
    require = (Requirement(metric=MetricName.EXACT_MATCH, minimum=0.5),)
    assert checks.checks(require, measured(MetricName.ACCURACY, figures), MEANS) == ()


@pytest.mark.parametrize(("rows", "gone"), list(product((40, 400), (0.1, 0.3))))
def test_more_rows_show_smaller_effects(rows: int, gone: float) -> None:
    few = Pairs(rows * gone, rows * gone / 2, rows).detectable(0.05, 0.95)
    many = Pairs(4 * rows * gone, 4 * rows * gone / 2, 4 * rows).detectable(0.05, 0.95)
    assert few is not None
    assert many is not None
    assert 1.7 < few / many < 3.0  # twice, and more where hardly a row has changed

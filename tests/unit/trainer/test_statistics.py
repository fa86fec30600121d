"""Intervals and p-values against published figures, and against scipy called directly."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from attune_trainer.evaluation import statistics
from attune_trainer.evaluation.statistics import Certainty, Floats, Paired, mcnemar, newcombe, wilson


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        pytest.param(Paired(0, 0, 0, 10), 1.0, id="no-discordant-rows"),
        pytest.param(Paired(5, 1, 1, 5), 1.0, id="even"),
        pytest.param(Paired(5, 6, 0, 5), 2 / 64, id="six-to-none"),
        pytest.param(Paired(0, 10, 2, 0), 2 * (1 + 12 + 66) / 4096, id="ten-to-two"),
        pytest.param(Paired(0, 2, 10, 0), 2 * (1 + 12 + 66) / 4096, id="two-sided"),
    ],
)
def test_exact_mcnemar(pairs: Paired, expected: float) -> None:
    assert mcnemar(pairs) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("pairs", "low", "high"),
    [
        # Newcombe 1998, table II, method 10: cells e, f, g, h.
        pytest.param(Paired(36, 12, 2, 0), 0.0569, 0.3404, id="36-12-2-0"),
        pytest.param(Paired(36, 14, 0, 0), 0.1528, 0.4167, id="36-14-0-0"),
        pytest.param(Paired(0, 0, 0, 30), -0.1135, 0.1135, id="none-right"),
    ],
)
def test_interval_of_a_paired_difference(pairs: Paired, low: float, high: float) -> None:
    assert newcombe(pairs) == (pytest.approx(low, abs=6e-4), pytest.approx(high, abs=6e-4))


def test_the_interval_turns_with_the_models() -> None:
    low, high = newcombe(Paired(20, 9, 3, 8))
    turned = newcombe(Paired(20, 3, 9, 8))

    assert turned == (pytest.approx(-high), pytest.approx(-low))


def test_wilson_of_a_published_example() -> None:
    # Newcombe 1998, Statistics in Medicine 17:857-872, table I: 81 of 263, Wilson.
    assert wilson(81 / 263, 263, 0.95) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))


def test_pairs_are_counted_row_by_row() -> None:
    tuned, base = [True, True, False, False, True], [True, False, True, False, False]

    assert Paired.of(tuned, base) == Paired(both=1, only_tuned=2, only_base=1, neither=1)


def mean_difference(tuned: Floats, base: Floats, _weights: Floats, axis: int = -1) -> Any:
    return tuned.mean(axis) - base.mean(axis)


def drawn(rows: int, shift: float, seed: int = 3) -> tuple[Floats, Floats]:
    """Tuned and base by row, of which tuned is `shift` higher in truth."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=rows)
    return base + shift + 0.5 * rng.normal(size=rows), base


@pytest.mark.parametrize(("rows", "shift"), [(2, 0.0), (5, 1.0), (40, 0.0), (40, 0.4)], ids=str)
def test_a_paired_mean_is_scipys_paired_t_test(rows: int, shift: float) -> None:
    tuned, base = drawn(rows, shift)
    expected = stats.ttest_rel(tuned, base)
    interval = expected.confidence_interval(0.95)

    assert statistics.paired_mean(tuned - base) == pytest.approx((interval.low, interval.high, expected.pvalue))


@pytest.mark.parametrize(("first", "second"), [(2, 3), (30, 6), (12, 40)], ids=str)
def test_two_groups_are_scipys_welch_test(first: int, second: int) -> None:
    ours, theirs = drawn(first, 0.5)[0], 3 * drawn(second, 0.0)[0]
    expected = stats.ttest_ind(ours, theirs, equal_var=False)
    interval = expected.confidence_interval(0.95)

    assert statistics.between_groups(ours, theirs) == pytest.approx((interval.low, interval.high, expected.pvalue))


def test_a_bootstrap_of_a_mean_is_near_the_t_interval_where_both_hold() -> None:
    tuned, base = drawn(200, 0.1)
    found = statistics.resampled(mean_difference, tuned, base, np.ones(200))
    by_t = statistics.paired_mean(tuned - base)

    assert found == pytest.approx(by_t, abs=0.01)


@pytest.mark.parametrize(
    ("differences", "p_value"),
    [
        pytest.param([1.0] * 5, 2 / 2**5, id="all-one-way"),
        pytest.param([3.0, 1.0, -1.0], 6 / 2**3, id="mixed"),  # sums ±5, ±3, ±3, ±1: six are as far out as 3
        pytest.param([0.0] * 4, 1.0, id="nothing-differs"),
    ],
)
def test_the_permutation_is_exact_with_few_rows(differences: list[float], p_value: float) -> None:
    base = np.arange(len(differences), dtype=float)
    found = statistics.resampled(mean_difference, base + differences, base, np.ones(len(base)))

    assert found.p_value == pytest.approx(p_value)


def test_resampling_the_same_figures_gives_the_same_interval() -> None:
    tuned, base = drawn(30, 0.2)

    first, second = (statistics.resampled(mean_difference, tuned, base, np.ones(30)) for _ in range(2))
    assert first == second


def test_bootstrap_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    held = 0
    for seed in range(60):
        tuned, base = drawn(60, 0.3, seed)
        found = statistics.resampled(mean_difference, tuned, base, np.ones(60))
        held += found.low is not None and found.high is not None and found.low <= 0.3 <= found.high

    assert held >= 52  # 95 % of 60 is 57; fewer than 52 would happen once in a hundred


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(statistics.paired_mean(np.array([1.0])), id="paired-mean"),
        pytest.param(statistics.between_groups(np.array([1.0]), np.array([1.0, 2.0])), id="groups"),
        pytest.param(
            statistics.resampled(mean_difference, np.array([1.0]), np.array([2.0]), np.array([1.0])), id="resampled"
        ),
    ],
)
def test_one_row_tells_no_spread(found: Certainty) -> None:
    assert found == Certainty(None, None, None)


def test_rows_that_all_differ_alike_have_an_interval_of_one_point() -> None:
    found = statistics.paired_mean(np.array([0.5, 0.5, 0.5]))

    assert (found.low, found.high) == (0.5, 0.5)
    assert found.p_value is None or math.isfinite(found.p_value)

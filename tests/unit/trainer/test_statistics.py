"""Intervals and p-values against published figures."""

import pytest

from attune_trainer.evaluation.statistics import Paired, mcnemar, newcombe, wilson


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

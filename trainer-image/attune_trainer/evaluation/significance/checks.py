"""The manifest's questions, asked of the figures: one check per bar."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from attune_contract.enums import MetricName
from attune_contract.gate import TOKEN_KL, Check, CheckKind
from attune_contract.spec import Requirement
from attune_trainer.evaluation.significance import comparing
from attune_trainer.evaluation.significance.evidence import Evidence, side
from attune_trainer.evaluation.significance.figures import PER_TOKEN, PERPLEXITY, Figures
from attune_trainer.evaluation.significance.resampling import Draws
from attune_trainer.evaluation.textmetrics.base import Floats

Slices = Mapping[str, NDArray[np.bool_]]
"""Which rows are in each slice, by `column=value`."""
LEAST_RESAMPLES = 9_999
_FINE = 20  # resamples beyond the level, so that a p-value at it is told to a twentieth


class Measured(NamedTuple):
    """Figures of the evaluation, by what a requirement names."""

    metric: MetricName
    baseline: str
    figures: Figures


class Means(NamedTuple):
    """How the questions are answered."""

    confidence: float
    """Of the two-sided intervals."""
    draws: Draws
    """How rows are resampled."""

    @classmethod
    def fit_for(cls, checks: int, confidence: float, seed: int) -> "Means":
        """Resamples fine enough for Holm's procedure over so many checks."""
        fine = math.ceil(_FINE * max(1, checks) / side(confidence))
        return cls(confidence, Draws(seed, max(LEAST_RESAMPLES, fine)))


def checks(
    require: Sequence[Requirement],
    measured: Sequence[Measured],
    means: Means,
    slices: Slices | None = None,
) -> tuple[Check, ...]:
    """Answers to spec.evaluation.gate.require.

    Args:
        require: the requirements, in the manifest's order.
        measured: figures of each metric against each baseline. A requirement on what is not among them gets no check,
            and is missed by the verdict.
        means: confidence and resampling.
        slices: rows that maxRegression is looked at on as well.
    """
    found = []
    for i, requirement in enumerate(require):
        for at in (m for m in measured if m.metric == requirement.metric and m.baseline == requirement.over):
            found += _answers(_Asked(i, requirement, at, means), slices or {})
    return tuple(found)


def perplexity_forgotten(tuned: Floats, base: Floats, limit: float, means: Means) -> Check:
    """The check on spec.evaluation.forgetting.maxPerplexityIncrease.

    Args:
        tuned: rows x 2 on general text: negative log-likelihood in nats, tokens.
        base: the same of the base, on the same rows.
        limit: largest relative rise, such as 0.10.
        means: confidence and resampling.
    """
    figures = Figures(PERPLEXITY, tuned, base)
    blank = Check(
        metric=MetricName.PERPLEXITY,
        kind=CheckKind.FORGETTING,
        baseline="base",
        bar=1 + limit,
        rows=figures.rows,
        lower_is_better=True,
    )
    return _answered(blank, figures, comparing.log_ratio, _LOG_DOWN, means)


def tokens_diverged(divergence: Floats, limit: float, means: Means) -> Check:
    """A check on mean token KL to the base.

    Args:
        divergence: rows x 2 on general text: KL(tuned || base) summed over the row's tokens in nats, tokens.
        limit: largest mean per token.
        means: confidence and resampling.
    """
    figures = Figures(PER_TOKEN, divergence)
    blank = Check(
        metric=TOKEN_KL,
        kind=CheckKind.FORGETTING,
        baseline="base",
        bar=limit,
        rows=figures.rows,
        lower_is_better=True,
    )
    return _answered(blank, figures, comparing.value, _DOWN, means)


class _Scale(NamedTuple):
    """Between the scale of a bar and that of the evidence, on which more is better."""

    to: Callable[[float], float]
    back: Callable[[float], float]


def _log_down(x: float) -> float:
    return -math.log(x) if x > 0 else math.inf


_Weigh = Callable[[Figures, Draws], Evidence]
_PLAIN = _Scale(lambda x: x, lambda x: x)
_DOWN = _Scale(lambda x: -x, lambda x: -x)
_LOG_DOWN = _Scale(_log_down, lambda x: math.exp(-x))
_LOG = _Scale(lambda x: -_log_down(x), math.exp)


class _Asked(NamedTuple):
    """A requirement beside what was measured for it."""

    place: int
    requirement: Requirement
    at: Measured
    means: Means


def _answers(asked: _Asked, slices: Slices) -> list[Check]:
    found = []
    if asked.requirement.min_improvement is not None:
        found.append(_gain(asked, CheckKind.IMPROVEMENT, asked.requirement.min_improvement))
    if asked.requirement.max_regression is not None:
        found.append(_gain(asked, CheckKind.REGRESSION, -asked.requirement.max_regression))
        for name, chosen in slices.items():
            part = asked._replace(at=asked.at._replace(figures=asked.at.figures.only(chosen)))
            found.append(_gain(part, CheckKind.REGRESSION, -asked.requirement.max_regression, name))
    if asked.requirement.minimum is not None:  # of the tuned model alone; of people's votes, against that baseline
        found.append(_minimum(asked, asked.requirement.minimum))
    return found


def _minimum(asked: _Asked, bar: float) -> Check:
    shape = asked.at.figures.shape
    blank = Check(
        requirement=asked.place,
        metric=asked.at.metric,
        kind=CheckKind.MINIMUM,
        bar=bar,
        rows=asked.at.figures.rows,
        lower_is_better=shape.lower_is_better,
    )
    scale = (_LOG_DOWN if shape.ratio else _DOWN) if shape.lower_is_better else (_LOG if shape.ratio else _PLAIN)
    return _answered(blank, asked.at.figures, comparing.value, scale, asked.means)


def _gain(asked: _Asked, kind: CheckKind, bar: float, name: str | None = None) -> Check:
    blank = Check(
        requirement=asked.place,
        metric=asked.at.metric,
        kind=kind,
        baseline=asked.at.baseline,
        slice=name,
        bar=bar,
        rows=asked.at.figures.rows,
        lower_is_better=asked.at.figures.shape.lower_is_better,
    )
    return _answered(blank, asked.at.figures, comparing.gain, _PLAIN, asked.means)


def _answered(blank: Check, figures: Figures, weigh: _Weigh, scale: _Scale, means: Means) -> Check:
    """A check with its question, filled in; without figures where the models' are no numbers."""
    if figures.rows == 0:
        return blank
    value = float(figures.shape.value(figures.tuned.sum(axis=0)))
    evidence = weigh(figures, means.draws) if math.isfinite(value) else None
    if evidence is None or not math.isfinite(evidence.estimate):
        return blank.model_copy(update={"value": _number(value)})
    bar = scale.to(blank.bar)
    ends = [None if end is None else scale.back(end) for end in evidence.interval(means.confidence)]
    low, high = ends if scale in {_PLAIN, _LOG} else reversed(ends)
    effect = evidence.detectable(bar, means.confidence)
    found = {
        "value": _number(value),
        "estimate": _number(scale.back(evidence.estimate)),
        "low": _number(low),
        "high": _number(high),
        "p_pass": _p(evidence.above(bar)),
        "p_fail": _p(evidence.below(bar)),
        "smallest_detectable": None if effect is None else _number(abs(scale.back(bar + effect) - blank.bar)),
    }
    return blank.model_copy(update=found)


def _number(x: float | None) -> float | None:
    """Six significant digits: more would pretend, and a termination message has 4 KiB."""
    return float(f"{x:.6g}") if x is not None and math.isfinite(x) else None


def _p(p: float) -> float:
    """Four significant digits, up: rounding must not make a check surer."""
    if p <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(p)) - 3)
    return min(1.0, float(f"{math.ceil(p / unit - 1e-6) * unit:.4g}"))

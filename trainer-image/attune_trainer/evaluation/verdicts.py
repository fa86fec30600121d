"""From all scores to results, checks and a verdict: the one place that knows metrics, baselines and slices at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attune_contract.enums import MetricName
from attune_contract.gate import Check, Checks, Judgement, decide
from attune_contract.outcome import MetricResult
from attune_contract.spec import Evaluation, Gate
from attune_trainer.errors import DivergedError
from attune_trainer.evaluation import general
from attune_trainer.evaluation.scores import Scores
from attune_trainer.evaluation.sides import TUNED
from attune_trainer.evaluation.significance import comparing
from attune_trainer.evaluation.significance.checks import (
    Means,
    Measured,
    checks,
    perplexity_forgotten,
    tokens_diverged,
)
from attune_trainer.evaluation.significance.figures import Figures, shape_of
from attune_trainer.evaluation.slices import Slices
from attune_trainer.evaluation.textmetrics.base import Floats, Metric
from attune_trainer.evaluation.textmetrics.human import HumanPreference, Judged

_SIDES_OF_KL = 2


@dataclass(frozen=True)
class People:
    """What people say of the answers, by baseline.

    Args:
        metric: of votes or of ratings.
        row_ids: of the held-out rows, in order.
        judged: what they say of tuned beside each baseline.
    """

    metric: HumanPreference
    row_ids: tuple[str, ...]
    judged: Mapping[str, Judged]


@dataclass(frozen=True)
class Evidence:
    """Everything that was measured.

    Args:
        asked: the manifest's block.
        metrics: by name, in the manifest's order.
        scores: by side; `tuned` and the baselines.
        slices: parts of the rows.
        seed: of resampling.
        people: of HumanPreference, where it is asked for.
        general: scores on general text, where forgetting is asked for.
    """

    asked: Evaluation
    metrics: Mapping[MetricName, Metric[Any, Any]]
    scores: Mapping[str, Scores]
    slices: Slices
    seed: int
    people: People | None = None
    general: Scores | None = None

    @property
    def gate(self) -> Gate:
        """The manifest's gate, or one that requires nothing."""
        return self.asked.gate or Gate()

    @property
    def baselines(self) -> tuple[str, ...]:
        """Names, in the order in which they are compared."""
        return tuple(name for name in self.scores if name != TUNED)


@dataclass(frozen=True)
class Found:
    """What came of it."""

    results: tuple[MetricResult, ...]
    """In the order of metrics and baselines; those of slices last."""
    checks: Checks
    judgement: Judgement
    means: Means


@dataclass(frozen=True)
class _Taken:
    """One metric against one baseline, with the slices of the rows that it was taken on."""

    measured: Measured
    masks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


def judge(evidence: Evidence, answered: Callable[[int, int], None] = lambda _, __: None) -> Found:
    """Results, checks and verdict.

    Args:
        evidence: what was measured.
        answered: told how many questions are answered, of how many.

    Raises:
        DivergedError: a metric has no value, for a model gives no likelihood to what is expected.
    """
    gate = evidence.gate
    means = Means.fit_for(_how_many(evidence), gate.confidence, evidence.seed)
    taken = _taken(evidence)
    asked: list[tuple[_Taken, str | None]] = [(t, None) for t in taken]
    asked += [(t, name) for t in taken for name in t.masks]
    results = []
    for i, (t, name) in enumerate(asked):
        answered(i, len(asked) + 1)
        figures = t.measured.figures if name is None else t.measured.figures.only(t.masks[name])
        results.append(_result(t.measured._replace(figures=figures), means, name))
    answered(len(asked), len(asked) + 1)
    found = Checks(confidence=gate.confidence, listed=_checks(evidence, taken, means))
    answered(len(asked) + 1, len(asked) + 1)
    judgement = decide(gate, found, forgetting=evidence.asked.forgetting is not None)
    return Found(tuple(results), found, judgement, means)


def _how_many(evidence: Evidence) -> int:
    """Checks in all, which say how fine p-values must be."""
    slices = len(evidence.slices.masks)
    bars = sum(
        (r.minimum is not None) + (r.min_improvement is not None) + (r.max_regression is not None) * (1 + slices)
        for r in evidence.gate.require
    )
    return bars + (_SIDES_OF_KL if evidence.asked.forgetting else 0)


def _taken(evidence: Evidence) -> list[_Taken]:
    tuned = evidence.scores[TUNED].figures
    found = []
    asked = [metric.name for metric in evidence.asked.metrics or ()] or list(evidence.metrics)
    for name in asked:
        for baseline in evidence.baselines:
            if name is MetricName.HUMAN_PREFERENCE:
                found += _of_people(evidence, baseline)
            elif name in evidence.metrics:
                shape = shape_of(evidence.metrics[name])
                ours, theirs = tuned[name], evidence.scores[baseline].figures[name]
                if name is MetricName.PERPLEXITY and not np.array_equal(ours[:, 1], theirs[:, 1]):
                    continue  # nats per token of another tokenizer: a requirement on that is told as not measured
                figures = Figures(shape, ours, theirs)
                found.append(_Taken(Measured(name, baseline, figures), _told(figures, evidence.slices.masks)))
    return found


def _told(figures: Figures, masks: Mapping[str, NDArray[np.bool_]]) -> dict[str, NDArray[np.bool_]]:
    """Slices that have a figure: one with wanted answers alone has no margin to unwanted ones, for one."""
    return {
        name: mask
        for name, mask in masks.items()
        if mask.any()
        and figures.baseline is not None
        and all(np.isfinite(figures.shape.value(rows[mask].sum(axis=0))) for rows in (figures.tuned, figures.baseline))
    }


def _of_people(evidence: Evidence, baseline: str) -> list[_Taken]:
    """Only on the rows that people judged."""
    people = evidence.people
    judged = people.judged.get(baseline) if people else None
    if people is None or judged is None:
        return []
    chosen = np.array([row in judged.tuned for row in people.row_ids])
    rows = [row for row in people.row_ids if row in judged.tuned]
    ours, theirs = (np.array([people.metric.row(by[row]) for row in rows]) for by in (judged.tuned, judged.baseline))
    figures = Figures(shape_of(people.metric), ours, theirs)
    masks = {name: mask[chosen] for name, mask in evidence.slices.masks.items()}
    return [_Taken(Measured(people.metric.name, baseline, figures), _told(figures, masks))]


def _checks(evidence: Evidence, taken: Sequence[_Taken], means: Means) -> tuple[Check, ...]:
    """One by one, for each may have rows of its own (people judge some, and others of each baseline); then in order."""
    found: list[Check] = []
    for t in taken:
        found += checks(evidence.gate.require, [t.measured], means, t.masks)
    found.sort(key=lambda check: -1 if check.requirement is None else check.requirement)
    return (*found, *_forgotten(evidence, means))


def _forgotten(evidence: Evidence, means: Means) -> tuple[Check, ...]:
    asked, read = evidence.asked.forgetting, evidence.general
    if asked is None or read is None:
        return ()
    tuned, base = read.figures[general.TUNED], read.figures[general.BASE]
    found = (perplexity_forgotten(tuned, base, asked.max_perplexity_increase, means),)
    if asked.max_token_kl is None:
        return found
    return (*found, tokens_diverged(read.figures[general.KL], asked.max_token_kl, means))


def _result(measured: Measured, means: Means, slice_name: str | None = None) -> MetricResult:
    figures = measured.figures
    assert figures.baseline is not None, "every comparison has one"  # noqa: S101
    tuned, value = (_value(figures, rows, measured.metric) for rows in (figures.tuned, figures.baseline))
    found = comparing.difference(figures, means.confidence, means.draws)
    return MetricResult(
        metric=measured.metric,
        tuned=_short(tuned),
        baseline=measured.baseline,
        value=_short(value),
        delta=_short(tuned - value),
        low=_shorter(found.low),
        high=_shorter(found.high),
        p_value=_shorter(found.p_value),
        rows=figures.rows,
        slice=slice_name,
        smallest_detectable=_shorter(found.smallest_detectable),
    )


def _value(figures: Figures, rows: Floats, metric: MetricName) -> float:
    found = float(figures.shape.value(rows.sum(axis=0)))
    if not np.isfinite(found):
        raise DivergedError(
            f"{metric}: a model's figure is not a number ({found}): it gives no likelihood to what is expected. Lower "
            "training.learningRate, or look at the rows in the report of preflight."
        )
    return found


def _short(value: float) -> float:
    """Six significant digits: more would pretend, and the Outcome has 4 KiB."""
    return float(f"{value:.6g}")


def _shorter(value: float | None) -> float | None:
    return _short(value) if value is not None and np.isfinite(value) else None

"""The evaluation's reports: what evaluation.json says, and a line of predictions.jsonl for every row."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attune_contract.enums import MetricName
from attune_contract.gate import Judgement
from attune_contract.gate_words import sentence, tell
from attune_contract.outcome import MetricResult
from attune_trainer.evaluation import general
from attune_trainer.evaluation.scores import Scores
from attune_trainer.evaluation.sides import TUNED, Side
from attune_trainer.evaluation.significance.figures import Figures, shape_of
from attune_trainer.evaluation.textmetrics.base import Description, Floats, Metric, Shape
from attune_trainer.evaluation.textmetrics.labels import confusion
from attune_trainer.evaluation.textmetrics.structure import RegexMatch
from attune_trainer.evaluation.verdicts import Evidence, Found

_MOST_LABELS = 40
_CERTAINTY = {
    "share": "exact McNemar at no difference, elsewhere Tango's score interval (corrected), paired by row",
    "resampled": "studentised bootstrap over rows ({draws:,} draws), and sign-flip permutation at no difference",
}


@dataclass(frozen=True)
class Measured:
    """All that the reports are made from.

    Args:
        sides: models and rows; tuned among them.
        evidence: what was measured.
        found: what came of it.
        notices: what must be read before anything else.
    """

    sides: Sequence[Side]
    evidence: Evidence
    found: Found
    notices: tuple[str, ...] = ()

    @property
    def tuned(self) -> Side:
        """The tuned model's side."""
        return next(side for side in self.sides if side.is_tuned)

    @property
    def judgement(self) -> Judgement:
        """The verdict."""
        return self.found.judgement

    def about(self) -> dict[MetricName, Description]:
        """What each metric is here."""
        found = dict(self.tuned.kind.about())
        if self.evidence.people is not None:
            found[MetricName.HUMAN_PREFERENCE] = self.evidence.people.metric.describe()
        return found

    def certainty(self, metric: MetricName) -> str:
        """Where a metric's interval and p-value come from."""
        known = self.evidence.metrics.get(metric)
        share = known is not None and known.shape is Shape.SHARE
        draws, percent = self.found.means.draws.resamples, 100 * self.found.means.confidence
        return f"{percent:g} %, " + _CERTAINTY["share" if share else "resampled"].format(draws=draws)

    def in_words(self) -> str:
        """The verdict in one sentence."""
        asked = self.evidence.asked
        if self.evidence.gate.require or asked.forgetting is not None:
            return f"{tell(self.judgement)}."
        return f"The gate requires nothing. {in_words(self.found.results)}"


def in_words(results: Sequence[MetricResult]) -> str:
    """The results over all rows against the base in one sentence."""
    first = results[0]
    mine = [r for r in results if r.slice is None and r.baseline == first.baseline]
    parts = [f"{r.metric.value} {r.value:.4g} → {r.tuned:.4g}" for r in mine]
    return f"{first.baseline.capitalize()} → tuned on {first.rows} held-out rows: {', '.join(parts)}."


def document(measured: Measured) -> dict[str, Any]:
    """What evaluation.json says of the figures; the stage adds what it ran on."""
    evidence, about = measured.evidence, measured.about()
    judgement = measured.judgement
    return {
        "verdict": judgement.verdict.value,
        "sentence": measured.in_words(),
        "notices": list(measured.notices),
        "rows": len(measured.tuned.kind.rows),
        "confidence": measured.found.means.confidence,
        "results": [
            {
                **result.model_dump(mode="json", exclude_none=True),
                "definition": about[result.metric].definition,
                "interval": measured.certainty(result.metric),
            }
            for result in measured.found.results
        ],
        "metrics": {name.value: told.document() for name, told in about.items()},
        "checks": [
            {
                **judged.check.model_dump(mode="json", exclude_none=True),
                "finding": judged.finding.value,
                "sentence": sentence(judged, judgement.confidence),
                "rowsNeeded": judged.rows_needed,
            }
            for judged in judgement.judged
        ],
        "missing": list(judgement.missing),
        "slices": {
            "rows": {name: int(mask.sum()) for name, mask in evidence.slices.masks.items()},
            "tooSmall": dict(evidence.slices.left_out),
        },
        "people": {name: judged.in_words() for name, judged in evidence.people.judged.items()}
        if evidence.people
        else None,
        "forgetting": forgetting(evidence),
        "givenUp": given_up(evidence),
        "confusion": {name: {"labels": list(labels), "counts": counts} for name, labels, counts in matrices(measured)},
        **measured.tuned.kind.details(),
    }


def forgetting(evidence: Evidence) -> dict[str, Any] | None:
    """Figures on general text."""
    asked, read = evidence.asked.forgetting, evidence.general
    if asked is None or read is None:
        return None
    tuned, base, divergence = (read.figures[name].sum(axis=0) for name in (general.TUNED, general.BASE, general.KL))
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        figures = {
            "basePerplexity": np.exp(base[0] / base[1]),
            "tunedPerplexity": np.exp(tuned[0] / tuned[1]),
            "ratio": np.exp((tuned[0] - base[0]) / base[1]),
            "meanTokenKL": divergence[0] / divergence[1],
        }
    return {
        "dataset": list(asked.dataset),
        "rows": read.rows,
        "tokens": int(tuned[1]),
        **{name: float(f"{value:.6g}") if np.isfinite(value) else None for name, value in figures.items()},
        "maxPerplexityIncrease": asked.max_perplexity_increase,
        "maxTokenKL": asked.max_token_kl,
    }


def given_up(evidence: Evidence) -> dict[str, int]:
    """Answers, by model, on which a pattern took too long; empty where there are none."""
    metric = evidence.metrics.get(MetricName.REGEX_MATCH)
    if not isinstance(metric, RegexMatch):
        return {}
    counts = {
        name: metric.given_up(scores.figures[MetricName.REGEX_MATCH].sum(axis=0))
        for name, scores in evidence.scores.items()
    }
    return {name: count for name, count in counts.items() if count}


def matrices(measured: Measured) -> Iterator[tuple[str, tuple[str, ...], list[list[int]]]]:
    """Confusion matrices of base and tuned, where labels are chosen and there are not too many."""
    labels = tuple(measured.tuned.kind.details().get("labels") or ())
    if not 1 < len(labels) <= _MOST_LABELS:
        return
    rows = measured.tuned.kind.rows
    expected = [row.shown.get("label", row.shown.get("expected", "")) for row in rows]
    known = [i for i, label in enumerate(expected) if label in labels]
    for name in measured.evidence.scores:
        said = measured.evidence.scores[name]
        pairs = ((said.said(i).get("label"), expected[i]) for i in known)
        counts = confusion(labels, pairs)
        yield name, labels, (counts if counts[:, -1].any() else counts[:, :-1]).tolist()


def predictions(measured: Measured, path: Path) -> None:
    """Writes a line of JSON per held-out row: what each model said, and how each metric counts it."""
    evidence = measured.evidence
    with path.open("w", encoding="utf-8") as file:
        for i, row in enumerate(measured.tuned.kind.rows):
            said = {name: _said(scores, i, evidence.metrics) for name, scores in evidence.scores.items()}
            line = {"rowID": row.row_id, "promptDigest": row.prompt_digest, **row.shown, **said}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _said(scores: Scores, row: int, metrics: Mapping[MetricName, Metric[Any, Any]]) -> dict[str, Any]:
    figures = ((name, of_row(metric, scores.figures[name][row])) for name, metric in metrics.items())
    return {**scores.said(row), "scores": {name.value: found for name, found in figures if found is not None}}


def of_row(metric: Metric[Any, Any], row: Floats) -> float | None:
    """A metric of one row alone; None where one row has no such figure."""
    found = float(metric.values(row))
    return float(f"{found:.6g}") if np.isfinite(found) else None


def judged_by(metrics: Mapping[MetricName, Metric[Any, Any]]) -> MetricName:
    """The metric by which regressions and gains are told: the first that is right or wrong, else the first."""
    return next((name for name, metric in metrics.items() if metric.shape is Shape.SHARE), next(iter(metrics)))


def gains_by_row(measured: Measured, baseline: str) -> tuple[MetricName, Floats]:
    """How much better tuned is on each row, by that metric; nothing where a row has no figure."""
    evidence = measured.evidence
    name = judged_by(evidence.metrics)
    metric = evidence.metrics[name]
    figures = Figures(shape_of(metric), evidence.scores[TUNED].figures[name], evidence.scores[baseline].figures[name])
    assert figures.baseline is not None, "just given"  # noqa: S101
    sign = -1.0 if figures.shape.lower_is_better else 1.0
    moved = sign * (figures.shape.value(figures.tuned) - figures.shape.value(figures.baseline))
    return name, np.nan_to_num(moved)

"""From an evaluation's figures and the run's other reports to the document of evaluation.html."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from attune_contract.enums import MetricName, Verdict
from attune_contract.gate import CheckKind, Finding
from attune_contract.gate_words import sentence
from attune_contract.outcome import MetricResult
from attune_contract.runconfig import RunConfig
from attune_contract.spec import Requirement
from attune_trainer.evaluation import report
from attune_trainer.evaluation.page import facts
from attune_trainer.evaluation.page.document import (
    About,
    Answer,
    Check,
    Comparison,
    Confusion,
    Curve,
    EvaluationDocument,
    Fact,
    Forgetting,
    Shown,
)
from attune_trainer.evaluation.report import Measured
from attune_trainer.evaluation.sides import BASE, TUNED
from attune_trainer.evaluation.textmetrics.base import Shape

_SHOWN = 10
_VERDICTS = {
    Finding.PASSES: Verdict.PASSED,
    Finding.FAILS: Verdict.FAILED,
    Finding.OPEN: Verdict.INCONCLUSIVE,
}


@dataclass(frozen=True)
class Run:
    """What is known of the run besides.

    Args:
        config: names run, model and method.
        validation: validation.json.
        training: training.json.
        lineage: where everything comes from.
        seconds: that the evaluation took.
        step: of the checkpoint that was evaluated.
        now: the wall clock, in UTC.
    """

    config: RunConfig
    validation: Mapping[str, Any]
    training: Mapping[str, Any]
    lineage: Mapping[str, Any]
    seconds: float
    step: int
    now: datetime


def document(measured: Measured, examples: Sequence[Any], run: Run) -> EvaluationDocument:
    """The whole page.

    Args:
        measured: the evaluation.
        examples: the held-out rows, as they are in the data.
        run: everything else.
    """
    judged_by, regressions, gains, totals = _moved(measured, examples)
    config, judgement = run.config, measured.judgement
    return EvaluationDocument(
        run_name=config.run.name,
        namespace=config.run.namespace,
        run_id=config.run.id,
        method=config.workload.method,
        model=config.workload.model.source,
        created=run.now,
        verdict=judgement.verdict,
        sentence=measured.in_words(),
        notices=measured.notices,
        checks=tuple(
            Check(verdict=_VERDICTS[j.finding], sentence=f"{sentence(j, judgement.confidence)}.")
            for j in judgement.judged
        ),
        comparisons=_comparisons(measured),
        about=tuple(
            About(
                metric=name,
                definition=told.definition,
                normalization=told.normalization,
                computed_by=told.computed_by,
                certainty=measured.certainty(name),
                signature=told.signature,
                lower_is_better=told.lower_is_better,
            )
            for name, told in measured.about().items()
        ),
        confidence=measured.found.means.confidence,
        curves=curves(run.training),
        best_step=run.step,
        confusion=tuple(
            Confusion(model=name, labels=labels, counts=tuple(map(tuple, counts)))
            for name, labels, counts in report.matrices(measured)
        ),
        judged_by=judged_by,
        regressions=regressions,
        gains=gains,
        regressions_total=totals[0],
        gains_total=totals[1],
        forgetting=_forgetting(measured),
        data=facts.of_validation(run.validation),
        data_warnings=facts.warnings_of(run.validation),
        cost=_cost(run),
        lineage=facts.flat(run.lineage),
        settings=facts.flat(run.training.get("settings", {})),
    )


def curves(training: Mapping[str, Any]) -> tuple[Curve, ...]:
    """Loss by step of what was learnt and of what was only watched."""
    named = {"train": training.get("history", ()), "held-out part of train": training.get("validation", ())}
    points = {
        name: tuple((int(p["step"]), float(p["loss"])) for p in found if p.get("loss") is not None)
        for name, found in named.items()
        if isinstance(found, list | tuple)
    }
    return tuple(Curve(name=name, points=found) for name, found in points.items() if found)


def _comparisons(measured: Measured) -> tuple[Comparison, ...]:
    order = list(dict.fromkeys(r.metric for r in measured.found.results))
    results = sorted(measured.found.results, key=lambda r: (order.index(r.metric), r.slice is not None))
    require = measured.evidence.gate.require
    return tuple(
        Comparison.model_validate(
            {
                **r.model_dump(),
                "slice": None if r.slice is None else r.slice.replace("=", " = ", 1),
                "bar": _bar(r, require, lower_is_better=measured.about()[r.metric].lower_is_better),
            }
        )
        for r in results
    )


def _bar(result: MetricResult, require: Sequence[Requirement], *, lower_is_better: bool) -> float | None:
    """The delta that the gate asks for, in the metric's own direction."""
    mine = next((r for r in require if r.metric is result.metric and r.over == result.baseline), None)
    if mine is None:
        return None
    gain = None if mine.max_regression is None else -mine.max_regression
    if mine.min_improvement is not None and result.slice is None:
        gain = mine.min_improvement
    return gain if gain is None or not lower_is_better else -gain


def _moved(
    measured: Measured, examples: Sequence[Any]
) -> tuple[MetricName | None, tuple[Shown, ...], tuple[Shown, ...], tuple[int, int]]:
    """Rows on which the tuned model lost most, and those on which it gained most, against the base."""
    if not measured.evidence.metrics:
        return None, (), (), (0, 0)
    name, moved = report.gains_by_row(measured, BASE)
    order = sorted(range(len(moved)), key=lambda i: (moved[i], i))
    worse, better = [i for i in order if moved[i] < 0], [i for i in reversed(order) if moved[i] > 0]
    shown = [tuple(_shown(measured, examples[i], i, name) for i in rows[:_SHOWN]) for rows in (worse, better)]
    return name, shown[0], shown[1], (len(worse), len(better))


def _shown(measured: Measured, example: Any, row: int, name: MetricName) -> Shown:
    return Shown(
        row_id=example.row_id,
        prompt=example.prompt_text(),
        expected=example.answer_text(),
        base=_answer(measured, BASE, row, name),
        tuned=_answer(measured, TUNED, row, name),
    )


def _answer(measured: Measured, side: str, row: int, name: MetricName) -> Answer:
    scores, metric = measured.evidence.scores[side], measured.evidence.metrics[name]
    said, figure = scores.said(row), report.of_row(metric, scores.figures[name][row])
    keys = ("label", "text") if name in {MetricName.ACCURACY, MetricName.MACRO_F1} else ("text", "label")
    text = next((said[key] for key in keys if said.get(key) is not None), "")
    if metric.shape is Shape.SHARE:
        return Answer(text=text, right=bool(figure))
    return Answer(text=text, score=figure)


def _forgetting(measured: Measured) -> tuple[Forgetting, ...]:
    found = report.forgetting(measured.evidence)
    if found is None or found["basePerplexity"] is None or found["tunedPerplexity"] is None:
        return ()
    judged = [j for j in measured.judgement.judged if j.check.kind is CheckKind.FORGETTING]
    perplexity = next((j for j in judged if j.check.metric == MetricName.PERPLEXITY), None)
    findings = {j.finding for j in judged}
    verdict = next((_VERDICTS[f] for f in (Finding.FAILS, Finding.OPEN) if f in findings), Verdict.PASSED)
    return (
        Forgetting(
            dataset=", ".join(found["dataset"]),
            rows=found["rows"],
            base_perplexity=found["basePerplexity"],
            tuned_perplexity=found["tunedPerplexity"],
            max_increase=found["maxPerplexityIncrease"],
            mean_token_kl=found["meanTokenKL"],
            low=perplexity.check.low if perplexity else None,
            high=perplexity.check.high if perplexity else None,
            verdict=verdict,
        ),
    )


def _cost(run: Run) -> tuple[Fact, ...]:
    """What training and evaluation took, and what that is at the runtime's prices."""
    figures, runtime = run.training["figures"], run.config.runtime
    resources = run.config.workload.resources
    gpus = resources.nodes * resources.gpus_per_node
    price = gpus * float(runtime.price_per_gpu_hour)
    told = {
        "training": {"seconds": figures["seconds"], "steps": figures["steps"], "tokens": figures["tokens"]},
        "evaluation": {"seconds": round(run.seconds, 1)},
    }
    if price:
        amount = f"{price * figures['seconds'] / 3600:.2f} {runtime.currency}"
        each = f"{runtime.price_per_gpu_hour} {runtime.currency} an hour"
        told["training"]["accelerators"] = f"{gpus} at {each} each: {amount}"
    return facts.flat(told)

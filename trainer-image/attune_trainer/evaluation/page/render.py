"""From a document to the page's text: one file, all text escaped, nothing that runs and nothing to fetch."""

from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from attune_contract.enums import Verdict
from attune_trainer.evaluation.page import charts, wording
from attune_trainer.evaluation.page.document import About, Comparison, EvaluationDocument

_HERE = Path(__file__).parent
_MARKS = {Verdict.PASSED: "✓", Verdict.FAILED: "✗", Verdict.INCONCLUSIVE: "?"}


def render(document: EvaluationDocument) -> str:
    """The page of an evaluation."""
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) or not isinstance(value, str) else _shown(value),
    )
    environment.filters |= {
        "number": wording.number,
        "signed": wording.signed,
        "probability": wording.probability,
        "percent": wording.percent,
        "shortened": wording.shortened,
    }
    return environment.get_template("evaluation.html.j2").render(
        d=document,
        style=Markup((_HERE / "style.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        verdict_style=wording.VERDICTS,
        mark=_MARKS,
        metrics=[_metric(document, list(of_metric)) for _, of_metric in _by_metric(document)],
        smallest=any(c.smallest_detectable is not None for c in document.comparisons),
        losses=charts.losses(document.curves, document.best_step),
        matrices=[charts.matrix(found) for found in document.confusion],
        few_labels=all(len(found.labels) <= charts.FEW_LABELS for found in document.confusion),
        label_characters=wording.LABEL_CHARACTERS,
        prompt_characters=wording.PROMPT_CHARACTERS,
        answer_characters=wording.ANSWER_CHARACTERS,
    )


def write(document: EvaluationDocument, path: Path) -> None:
    """Writes the page to a file."""
    path.write_text(render(document), encoding="utf-8")


def _shown(text: str) -> str:
    return wording.printable(text)


def _by_metric(document: EvaluationDocument) -> Any:
    return groupby(document.comparisons, key=lambda comparison: comparison.metric)


def _metric(document: EvaluationDocument, comparisons: list[Comparison]) -> dict[str, Any]:
    """One metric's table: what it is, and each comparison with its place on the common scale."""
    name = comparisons[0].metric
    about = next((a for a in document.about if a.metric == name), About(metric=name, definition=""))
    scale, alpha = charts.scale_of(comparisons), 1 - document.confidence
    return {
        "about": about,
        "rows": [
            (c, charts.interval(c, scale, lower_is_better=about.lower_is_better, alpha=alpha)) for c in comparisons
        ],
        "sliced": any(c.slice for c in comparisons),
    }

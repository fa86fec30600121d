"""One look, from rows and figures to what the resource's status says. No I/O."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student

from attune_contract.enums import Method, MetricName
from attune_contract.monitoring import (
    Comparison,
    InputDrift,
    LabelShift,
    Look,
    MetricDrop,
    Monitoring,
    Variant,
    VariantFigures,
)
from attune_trainer.evaluation.significance import comparing
from attune_trainer.evaluation.significance.figures import Figures
from attune_trainer.evaluation.significance.resampling import Draws
from attune_trainer.monitoring import drops, inputs, labels, levels
from attune_trainer.monitoring.fresh import Fresh
from attune_trainer.monitoring.versions import Measured

MOST_ANSWERS = 50
"""Supervised answers with more different ones than these are text, not labels."""
_LABELLED = frozenset({Method.SFT, Method.KTO, Method.CLASSIFICATION})
_CONFIDENCE = 0.95
_TELLING = 2


@dataclass(frozen=True)
class Reference:
    """What recent rows are held against.

    Args:
        prompts: of the champion's training data, held-out rows among them; or of some of its rows by lot.
        labels: the same rows by label, all of them; empty where rows have none.
        figures: the champion on the held-out rows that it was evaluated on; None where nothing is held against it.
    """

    prompts: Sequence[str]
    labels: Mapping[str, int]
    figures: Measured | None


def label_of(method: Method, example: Any) -> str | None:
    """The label of a row: its own, whether the answer is wanted, or a supervised answer."""
    if method not in _LABELLED:
        return None
    stratum: str | None = example.stratum()
    return example.answer_text().strip() if method is Method.SFT else stratum


def most_labels(method: Method) -> float:
    """So many different labels are labels: of Classification as many as there are, of supervised answers a few."""
    return MOST_ANSWERS if method is Method.SFT else math.inf


def labels_of(method: Method, examples: Sequence[Any]) -> dict[str, int]:
    """Rows by label; none where answers are free text."""
    found = [label for e in examples if (label := label_of(method, e)) is not None]
    return dict(Counter(found))


def conclude(
    look: Look,
    method: Method,
    fresh: Fresh,
    reference: Reference,
    measured: Mapping[Variant, Measured],
) -> Monitoring:
    """Everything that one look says.

    Args:
        look: what was asked.
        method: of the champion.
        fresh: the recent rows.
        reference: what they are held against.
        measured: figures of each variant on the labelled ones; the same rows for all.
    """
    few = fresh.rows < look.min_rows
    known = dict(reference.labels) if len(reference.labels) <= most_labels(method) else {}
    recent = labels_of(method, fresh.labelled) if known else {}
    champion = measured.get(Variant.CHAMPION)
    ask_inputs = not few and len(reference.prompts) >= inputs.LEAST
    ask_metrics = champion is not None and reference.figures is not None and champion.rows >= look.min_rows
    ask_labels = bool(known) and len(fresh.labelled) >= look.min_rows
    names = tuple(champion.shapes) if champion is not None and ask_metrics else ()
    level = levels.share(look.false_alarms, inputs=ask_inputs, labels=ask_labels, metrics=len(names))
    prompts = [example.prompt_text() for example in fresh.examples]
    moved = inputs.compare(reference.prompts, prompts, level.inputs, look.seed) if ask_inputs else None
    shifted = labels.compare(known, recent, level.labels, look.seed) if ask_labels else None
    dropped = _dropped(names, reference.figures, champion, level.metric, look.seed)
    found = Monitoring(
        at=look.at,
        rows=fresh.rows,
        labelled_rows=fresh.answered,
        invalid_rows=fresh.invalid_rows,
        enough=not few,
        drifted=bool((moved and moved.drifted) or (shifted and shifted.drifted) or any(d.dropped for d in dropped)),
        inputs=moved,
        labels=shifted,
        metrics=dropped,
        variants=_variants(look, fresh, measured),
        comparisons=_comparisons(fresh, measured, look.seed),
    )
    return found.model_copy(update={"sentence": in_words(found, look, fresh.learnt)})


def compare(look: Look, fresh: Fresh, measured: Mapping[Variant, Measured]) -> Monitoring:
    """What a look at held-out rows says: the versions beside each other, and nothing of drift.

    Args:
        look: what was asked.
        fresh: the rows.
        measured: figures of each variant on them.
    """
    comparisons = _comparisons(fresh, measured, look.seed)
    told = "; ".join(f"{c.about} {c.delta:+.4g}" for c in comparisons)
    return Monitoring(
        at=look.at,
        rows=fresh.rows,
        labelled_rows=fresh.answered,
        variants=_variants(look, fresh, measured),
        comparisons=comparisons,
        sentence=f"Challenger less champion on {fresh.rows} held-out rows: {told or 'nothing to compare'}.",
    )


def in_words(found: Monitoring, look: Look, learnt: int) -> str:
    """What a look says, in a sentence or two.

    Args:
        found: all else that it says.
        look: what was asked.
        learnt: labelled rows that were left out of figures.
    """
    if not found.enough:
        return f"{found.rows} recent rows are too few to tell of drift; {look.min_rows} are needed."
    parts = [_of_metric(d) for d in found.metrics if d.dropped]
    if found.inputs and found.inputs.drifted:
        parts.append(_of_inputs(found.inputs))
    if found.labels and found.labels.drifted:
        parts.append(_of_labels(found.labels))
    left_out = f"; {learnt} that a version has learnt are not evaluated" if learnt else ""
    asked = f"{found.rows} recent rows ({found.labelled_rows} of them labelled{left_out})"
    if found.inputs is None:
        parts.append(f"prompts are not compared, for the champion has fewer than {inputs.LEAST} rows of training data")
    return f"{asked}: {'; '.join(parts)}." if parts else f"{asked}: nothing has moved."


def _of_metric(found: MetricDrop) -> str:
    return (
        f"{found.metric.value} is {found.now:.4g} on {found.rows} rows, and was {found.before:.4g} on "
        f"{found.before_rows} at promotion (p = {found.p_value:.2g})"
    )


def _of_inputs(found: InputDrift) -> str:
    words = "".join(
        f", {name} often: {', '.join(listed[:4])}"
        for name, listed in (("more", found.more), ("less", found.less))
        if listed
    )
    return f"prompts have moved (score {found.score:.3g} over {found.threshold:.3g}{words})"


def _of_labels(found: LabelShift) -> str:
    moved = ", ".join(f"{m.label} {m.before:.0%} to {m.now:.0%}" for m in found.moved[:3])
    return f"labels have moved (PSI {found.psi:.3g} over {found.threshold:.3g}: {moved})"


def _dropped(
    names: Sequence[MetricName], before: Measured | None, now: Measured | None, level: float, seed: int
) -> tuple[MetricDrop, ...]:
    if before is None or now is None:
        return ()
    found = [
        drops.compare(name, now.shapes[name], before.figures[name], now.figures[name], level=level, seed=seed)
        for name in names
        if name in before.figures
    ]
    return tuple(drop for drop in found if drop is not None)


def _variants(look: Look, fresh: Fresh, measured: Mapping[Variant, Measured]) -> tuple[VariantFigures, ...]:
    versions = {p.variant: p.version for p in look.variants}
    named = [v for v in Variant if v in versions or fresh.by_variant[v]]
    return tuple(_variant(v, versions.get(v, ""), fresh, measured.get(v)) for v in named)


def _variant(variant: Variant, version: str, fresh: Fresh, measured: Measured | None) -> VariantFigures:
    given = np.array(fresh.ratings.get(variant, ()))
    low, high = _interval(given)
    values = {name: measured.value(name) for name in measured.shapes} if measured else {}
    return VariantFigures(
        variant=variant,
        version=version,
        rows=measured.rows if measured else 0,
        metrics={name: _short(value) for name, value in values.items() if np.isfinite(value)},
        answered=fresh.by_variant[variant],
        ratings=len(given),
        rating=_short(float(given.mean())) if len(given) else None,
        rating_low=low,
        rating_high=high,
    )


def _interval(given: Any) -> tuple[float | None, float | None]:
    """Of a mean, by Student's t; none from fewer than two ratings."""
    if len(given) < _TELLING:
        return None, None
    half = float(student.ppf((1 + _CONFIDENCE) / 2, len(given) - 1) * given.std(ddof=1) / np.sqrt(len(given)))
    return _short(float(given.mean()) - half), _short(float(given.mean()) + half)


def _comparisons(fresh: Fresh, measured: Mapping[Variant, Measured], seed: int) -> tuple[Comparison, ...]:
    """Challenger against champion, row by row, and by the ratings that each got."""
    ours, theirs = measured.get(Variant.CHALLENGER), measured.get(Variant.CHAMPION)
    found = []
    if ours is not None and theirs is not None:
        found += [_paired(name, ours, theirs, seed) for name in theirs.shapes if name in ours.shapes]
    rated = _rated(*(np.array(fresh.ratings.get(v, ())) for v in (Variant.CHALLENGER, Variant.CHAMPION)))
    return (*found, *([rated] if rated else []))


def _paired(name: MetricName, ours: Measured, theirs: Measured, seed: int) -> Comparison:
    shape = theirs.shapes[name]
    figures = Figures(shape, ours.figures[name], theirs.figures[name])
    difference = comparing.difference(figures, _CONFIDENCE, Draws(seed))
    return Comparison(
        about=name.value,
        delta=_short(difference.delta),
        low=_short(difference.low),
        high=_short(difference.high),
        p_value=_short(difference.p_value),
        rows=figures.rows,
        lower_is_better=shape.lower_is_better,
    )


def _rated(ours: Any, theirs: Any) -> Comparison | None:
    """Welch's t interval of the difference of mean ratings; each row was rated once, by whoever got that answer."""
    if min(len(ours), len(theirs)) < _TELLING:
        return None
    delta = float(ours.mean() - theirs.mean())
    parts = [side.var(ddof=1) / len(side) for side in (ours, theirs)]
    error = float(np.sqrt(sum(parts)))
    if not error:
        return Comparison(about="rating", delta=_short(delta), rows=len(ours) + len(theirs))
    freedom = sum(parts) ** 2 / sum(p**2 / (len(s) - 1) for p, s in zip(parts, (ours, theirs), strict=True))
    half = float(student.ppf((1 + _CONFIDENCE) / 2, freedom)) * error
    return Comparison(
        about="rating",
        delta=_short(delta),
        low=_short(delta - half),
        high=_short(delta + half),
        p_value=_short(float(2 * student.sf(abs(delta) / error, freedom))),
        rows=len(ours) + len(theirs),
    )


def _short(value: float | None) -> Any:
    return float(f"{value:.6g}") if value is not None and np.isfinite(value) else None

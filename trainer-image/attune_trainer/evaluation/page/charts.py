"""The page's charts as places and paths, for the template to write as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

from attune_trainer.evaluation.page import geometry, wording
from attune_trainer.evaluation.page.document import Comparison, Confusion, Curve
from attune_trainer.evaluation.page.geometry import Scale

FEW_POINTS = 40
"""A curve with so few points shows each as a dot."""
FEW_LABELS = 8
"""Two matrices of so many labels fit side by side on paper."""
MOST_LABELS = 12
"""With more, a table of the most frequent mistakes says more than a matrix."""
MOST_MISTAKES = 20


@dataclass(frozen=True)
class Tick:
    """A mark on an axis."""

    at: float
    """Percent along the axis; of the vertical axis from the top."""
    text: str


@dataclass(frozen=True)
class Line:
    """One curve."""

    name: str
    path: str
    dots: str
    first: str
    last: str
    lowest: str


@dataclass(frozen=True)
class Chart:
    """Loss curves."""

    lines: tuple[Line, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    mark: float | None
    """Percent along, where the checkpoint is that was evaluated."""
    width: int = geometry.WIDTH
    height: int = geometry.HEIGHT


def losses(curves: Sequence[Curve], best_step: int | None) -> Chart | None:
    """The chart of loss curves; None where there is no point."""
    curves = [curve for curve in curves if curve.points]
    if not curves:
        return None
    points = [point for curve in curves for point in curve.points]
    steps = [float(step) for step, _ in points] + ([] if best_step is None else [float(best_step)])
    x, y = Scale.of(steps, 0.02), Scale.of([loss for _, loss in points], 0.08)
    return Chart(
        lines=tuple(_line(curve, x, y) for curve in curves),
        across=tuple(Tick(x.percent(t), f"{t:,.0f}") for t in geometry.ticks(x) if t == int(t)),
        up=tuple(Tick(100 - y.percent(t), wording.number(t)) for t in geometry.ticks(y, 4)),
        mark=None if best_step is None else x.percent(best_step),
    )


def _line(curve: Curve, x: Scale, y: Scale) -> Line:
    kept = geometry.thinned([(float(step), loss) for step, loss in curve.points])
    values = [loss for _, loss in curve.points]
    first, last, lowest = (wording.number(value) for value in (values[0], values[-1], min(values)))
    marked = geometry.dots(kept, x, y) if len(kept) <= FEW_POINTS else ""
    return Line(curve.name, geometry.path(kept, x, y), marked, first, last, lowest)


@dataclass(frozen=True)
class Interval:
    """A difference and its interval, in percent along a scale that all rows of a metric share."""

    delta: float
    zero: float
    bar: float | None
    low: float | None
    high: float | None
    style: str
    """good, bad or unsure."""
    words: str


def scale_of(comparisons: Sequence[Comparison]) -> Scale:
    """The scale that the differences of one metric share; zero is always on it."""
    found = [c.delta for c in comparisons] + [
        figure for c in comparisons for figure in (c.low, c.high, c.bar) if figure is not None
    ]
    return Scale.of([0.0, *found])


def interval(comparison: Comparison, scale: Scale, *, lower_is_better: bool, alpha: float) -> Interval:
    """One comparison on its scale.

    Args:
        comparison: the figures.
        scale: that of its metric.
        lower_is_better: which way is good.
        alpha: a difference is clear where the interval leaves out zero and the p-value, if there is one, is no larger:
            with few rows the two can disagree.
    """
    c, sign = comparison, -1 if lower_is_better else 1
    style, words = "unsure", "no interval" if c.low is None or c.high is None else "no clear difference"
    sure = c.p_value is None or c.p_value <= alpha
    if c.low is not None and c.high is not None and c.low * c.high > 0 and sure:
        style, words = ("good", "better") if sign * c.low > 0 else ("bad", "worse")
    low, high, bar = (None if figure is None else scale.percent(figure) for figure in (c.low, c.high, c.bar))
    return Interval(scale.percent(c.delta), scale.percent(0), bar, low, high, style, words)


@dataclass(frozen=True)
class Cell:
    """A count, and how much of its row it is."""

    count: int
    share: float
    style: str
    """right or wrong."""


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix; `mistakes` instead of `rows` where there are many labels."""

    model: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...], int], ...]
    mistakes: tuple[tuple[str, str, int], ...]
    right: int
    total: int


NO_LABEL = "(no label)"


def matrix(found: Confusion) -> Matrix:
    """A confusion matrix for the page."""
    counts, labels = found.counts, found.labels
    extra = bool(counts) and len(counts[0]) > len(labels) and any(row[-1] for row in counts)
    columns = (*labels, NO_LABEL) if extra else labels
    wrong = [
        (expected, answered, count)
        for i, (expected, row) in enumerate(zip(labels, counts, strict=True))
        for j, (answered, count) in enumerate(zip(columns, row, strict=False))
        if i != j and count
    ]
    small = len(labels) <= MOST_LABELS
    return Matrix(
        model=found.model,
        columns=columns,
        rows=tuple(
            (label, _cells(i, row[: len(columns)]), sum(row))
            for i, (label, row) in enumerate(zip(labels, counts, strict=True))
        )
        if small
        else (),
        mistakes=() if small else tuple(sorted(wrong, key=lambda m: (-m[2], m))[:MOST_MISTAKES]),
        right=sum(row[i] for i, row in enumerate(counts)),
        total=sum(map(sum, counts)),
    )


def _cells(place: int, row: Sequence[int]) -> tuple[Cell, ...]:
    total = max(1, sum(row))
    return tuple(
        Cell(count, round(count / total, 3), "right" if j == place else "wrong") for j, count in enumerate(row)
    )

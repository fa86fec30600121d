"""Where things are in a chart: scales, ticks, and lines as SVG paths. Numbers in, numbers and paths out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]
WIDTH, HEIGHT = 1000, 300
"""Of the loss chart, in its own units; it is stretched to the page."""
MOST_POINTS = 600
_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Scale:
    """A stretch of numbers along an axis."""

    low: float
    high: float

    def percent(self, value: float) -> float:
        """How far along a number is, from 0 to 100."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)

    @classmethod
    def of(cls, values: Sequence[float], margin: float = 0.05) -> "Scale":
        """A stretch with all of the numbers in it and some room at both ends."""
        low, high = min(values), max(values)
        room = (high - low) * margin or abs(high) * margin or 1.0
        return cls(low - room, high + room)


def ticks(scale: Scale, about: int = 5) -> list[float]:
    """Round numbers within a scale, about so many."""
    span = scale.high - scale.low
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next(s * power for s in _STEPS if s * power * about >= span)
    first = math.ceil(scale.low / step)
    return [round(n * step, 12) for n in range(first, math.floor(scale.high / step) + 1)]


def path(points: Sequence[Point], x: Scale, y: Scale) -> str:
    """Points as the line of an SVG path; one point alone becomes a dot where line ends are round."""
    places = [(x.percent(a) / 100 * WIDTH, (1 - y.percent(b) / 100) * HEIGHT) for a, b in points]
    if len(places) == 1:
        return _dot(*places[0])
    return "M" + " L".join(f"{a:.1f} {b:.1f}" for a, b in places)


def dots(points: Sequence[Point], x: Scale, y: Scale) -> str:
    """Points as dots of one SVG path."""
    return " ".join(path([point], x, y) for point in points)


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most so many points that look the same as all of them: of each stretch its lowest and its highest."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(2 * (len(points) - 2) / (most - 2))
    kept = [points[0]]
    for start in range(1, len(points) - 1, size):
        stretch = points[start : min(start + size, len(points) - 1)]
        low, high = min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])
        kept += sorted({low, high})
    return [*kept, points[-1]]


def _dot(x: float, y: float) -> str:
    return f"M{x:.1f} {y:.1f} h0"

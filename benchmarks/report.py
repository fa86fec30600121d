"""Figures, their aims, and the page that shows both. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

JSON = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """One line of the report.

    Attributes:
        what: was measured.
        value: in `unit`.
        unit: of value and aim.
        aim: what we want; None where the figure only helps to read others.
        at_least: whether more is better; else less is.
        beside: something to compare with, or what the figure is made of.
    """

    what: str
    value: float
    unit: str
    aim: float | None = None
    at_least: bool = False
    beside: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None where there is none."""
        if self.aim is None:
            return None
        return self.value >= self.aim if self.at_least else self.value <= self.aim


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: a value that was really measured (Hyndman & Fan 1996, definition 1).

    Args:
        values: at least one.
        percent: more than 0, at most 100.
    """
    ordered = sorted(values)
    return ordered[math.ceil(percent / 100 * len(ordered)) - 1]


def shares(total: Mapping[str, float], runs: int) -> str:
    """What a sum is made of, per run, largest first: `2 PUT finetunejobs/status, 1 POST jobs`."""
    each = sorted(((count / runs, name) for name, count in total.items() if count > 0), key=lambda s: (-s[0], s[1]))
    return ", ".join(f"{share:.3g} {name}" for share, name in each)


def table(figures: Sequence[Figure]) -> str:
    """The figures in columns, for a terminal."""
    rows = [("FIGURE", "MEASURED", "AIM", "MET", "BESIDE IT"), *(_row(figure) for figure in figures)]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join("  ".join([*(row[i].ljust(widths[i]) for i in range(4)), row[4]]).rstrip() for row in rows)


def _row(figure: Figure) -> tuple[str, str, str, str, str]:
    sign = "≥" if figure.at_least else "≤"
    aim = "" if figure.aim is None else f"{sign} {figure.aim:g} {figure.unit}".rstrip()
    met = {True: "yes", False: "no", None: ""}[figure.met]
    return figure.what, f"{_short(figure.value)} {figure.unit}".rstrip(), aim, met, figure.beside


def _short(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}"  # noqa: PLR2004 - a tenth of a percent is noise


def dump(figures: Sequence[Figure], **facts: Any) -> JSON:
    """The figures as JSON, with facts about the run beside them."""
    return {**facts, "figures": [{**asdict(figure), "met": figure.met} for figure in figures]}

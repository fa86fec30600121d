"""One model's scores of all rows: numbers in memory, eight bytes each, and what it said on disk, however long it is."""

import json
import math
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from attune_contract.enums import MetricName
from attune_trainer.errors import DivergedError
from attune_trainer.evaluation.textmetrics.base import Floats


class Score(NamedTuple):
    """What one model made of one row."""

    row: int
    """Index of the row."""
    figures: Mapping[MetricName, Floats] | Mapping[str, Floats]
    """What the row adds to each metric, by the metric's name; the same names and widths for every row."""
    said: dict[str, Any]
    """What predictions.jsonl shows of it."""


@dataclass(frozen=True)
class Scores:
    """All of one model's scores.

    Args:
        figures: by metric, rows x width.
        path: JSON lines, one per row, in the order in which they were scored.
        places: where in the file each row is.
    """

    figures: Mapping[str, Floats]
    path: Path
    places: array  # type: ignore[type-arg]  # array's parameter is a matter of stubs alone

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.places)

    def said(self, row: int) -> dict[str, Any]:
        """What the model said of one row."""
        with self.path.open("rb") as file:
            file.seek(self.places[row])
            found: dict[str, Any] = json.loads(file.readline())["said"]
            return found


def write(path: Path, found: Iterable[Score], name: str) -> None:
    """Writes scores as they come.

    Args:
        path: the file.
        found: in any order of rows.
        name: of the model, for errors.

    Raises:
        DivergedError: a figure is no number.
    """
    with path.open("w", encoding="utf-8") as file:
        for score in found:
            bad = [metric for metric, figures in score.figures.items() if not np.isfinite(figures).all()]
            if bad:
                raise DivergedError(
                    f"What the model {name} makes of row {score.row + 1} is not a number ({', '.join(bad)})."
                )
            figures = {str(metric): figures.tolist() for metric, figures in score.figures.items()}
            document = {"row": score.row, "figures": figures, "said": score.said}
            file.write(json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n")


def read(path: Path, rows: int) -> Scores | None:
    """Reads what `write` wrote; None where not every row is in it.

    Args:
        path: the file.
        rows: how many there must be.
    """
    figures: dict[str, Floats] = {}
    places = array("q", [-1]) * rows
    with path.open("rb") as file:
        at = 0
        for line in file:
            document = json.loads(line)
            row = int(document["row"])
            places[row] = at
            at += len(line)
            for metric, numbers in document["figures"].items():
                if metric not in figures:
                    figures[metric] = np.full((rows, len(numbers)), math.nan)
                figures[metric][row] = numbers
    return Scores(figures, path, places) if -1 not in places else None

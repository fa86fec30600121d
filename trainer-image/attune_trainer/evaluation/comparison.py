"""Both models over the held-out rows, each once: figures for the metrics, and every prediction on disk."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attune_trainer.errors import DivergedError
from attune_trainer.evaluation.kinds.base import Kind, Row
from attune_trainer.evaluation.measures import Score, Tally
from attune_trainer.evaluation.sides import Scoring, Sides


def score(sides: Sides, scratch: Path, predictions: Path) -> tuple[Tally, Tally]:
    """Tallies of tuned and base. Base first; what it said waits on disk for the tuned model's of the same row.

    Args:
        sides: the models and the rows.
        scratch: a folder for what waits.
        predictions: the file that is written: a line of JSON per row, in the order of batches.

    Raises:
        DivergedError: a model's figures are no numbers.
    """
    kind = sides.kind
    tuned, base = Tally(len(kind.rows)), Tally(len(kind.rows))
    waiting = scratch / "base.jsonl"
    with sides.open() as (as_base, as_tuned):
        with waiting.open("w", encoding="utf-8") as file:
            for found in _tallied(kind, as_base, base):
                file.write(json.dumps(found.said) + "\n")
        with waiting.open(encoding="utf-8") as theirs, predictions.open("w", encoding="utf-8") as file:
            for found, line in zip(_tallied(kind, as_tuned, tuned), theirs, strict=True):
                document = _prediction(kind.rows[found.row], json.loads(line), found.said)
                file.write(json.dumps(document, ensure_ascii=False) + "\n")
    return tuned, base


def _tallied(kind: Kind, scoring: Scoring, tally: Tally) -> Iterator[Score]:
    for found in scoring():
        bad = [name for name, figure in found.figures.items() if not math.isfinite(figure)]
        if bad:
            row = kind.rows[found.row].row_id
            raise DivergedError(f"The model's likelihood of {row} is not a number ({', '.join(bad)}).")
        tally.add(found)
        yield found


def _prediction(row: Row, base: dict[str, Any], tuned: dict[str, Any]) -> dict[str, Any]:
    return {"rowID": row.row_id, "promptDigest": row.prompt_digest, **row.shown, "base": base, "tuned": tuned}

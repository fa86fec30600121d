"""All models over the held-out rows, each once; what is kept of them already (`kept.py`) is not scored again."""

import logging
from collections.abc import Sequence
from pathlib import Path

import attune_trainer
from attune_trainer import digests
from attune_trainer.evaluation import scores, sides
from attune_trainer.evaluation.kept import Kept
from attune_trainer.evaluation.pace import Pace
from attune_trainer.evaluation.scores import Scores
from attune_trainer.evaluation.sides import Models, Side

_log = logging.getLogger(__name__)


def score(asked: Sequence[Side], models: Models, kept: Kept, pace: Pace) -> dict[str, Scores]:
    """The scores of every side, by name.

    Args:
        asked: models and rows; those that share weights stand together.
        models: loads them.
        kept: where scores are kept.
        pace: told how many rows more are done.

    Raises:
        DivergedError: a model's figures are no numbers.
    """
    found: dict[str, Scores] = {}
    for side in asked:
        ids = [row.row_id for row in side.kind.rows]
        known = kept.find(side.name, ids)
        if known is not None:
            whose = f"run {kept.origins[side.name]}" if side.name in kept.origins else "an earlier attempt"
            _log.info("%s: the scores of all %d rows are those of %s", side.name, len(ids), whose)
            pace.spared(len(ids))
        found[side.name] = known or _taken(side, models, kept, pace)
    return found


def _taken(side: Side, models: Models, kept: Kept, pace: Pace) -> Scores:
    path = kept.local(side.name)
    scores.write(path, sides.scored(side, models, pace.scored), side.name)
    kept.keep(side.name, [row.row_id for row in side.kind.rows])
    found = scores.read(path, len(side.kind.rows))
    assert found is not None, "every row was scored"  # noqa: S101
    return found


def code_digest() -> str:
    """Of all of this package's source: other code may score otherwise."""
    folder = Path(attune_trainer.__file__).parent
    names = [name for name in digests.files_below(folder) if name.endswith(".py")]
    return digests.of_folder(digests.of_files(folder, names))

"""All models over the held-out rows, each once; what an earlier attempt of the run has scored already is taken from it.

Scores lie below the run, by the digest of all that they follow from: model, rows, prompts, metrics, precision and code.
"""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attune_trainer
from attune_contract import layout
from attune_trainer import digests
from attune_trainer.artifacts import RunFiles
from attune_trainer.errors import ObjectNotFoundError
from attune_trainer.evaluation import scores, sides
from attune_trainer.evaluation.scores import Scores
from attune_trainer.evaluation.sides import Models, Side

_log = logging.getLogger(__name__)


def score(
    asked: Sequence[Side],
    models: Models,
    cache: "Cache",
    on_rows: Callable[[int], None],
) -> dict[str, Scores]:
    """The scores of every side, by name.

    Args:
        asked: models and rows; those that share weights stand together.
        models: loads them.
        cache: where scores are kept.
        on_rows: told how many rows more are done.

    Raises:
        DivergedError: a model's figures are no numbers.
    """
    found: dict[str, Scores] = {}
    for side in asked:
        rows = len(side.kind.rows)
        known = cache.find(side.name, rows)
        if known is not None:
            _log.info("%s: an earlier attempt has scored all %d rows", side.name, rows)
            on_rows(rows)
        found[side.name] = known or _taken(side, models, cache, on_rows)
    return found


def _taken(side: Side, models: Models, cache: "Cache", on_rows: Callable[[int], None]) -> Scores:
    path = cache.local(side.name)
    scores.write(path, sides.scored(side, models, on_rows), side.name)
    cache.keep(side.name)
    found = scores.read(path, len(side.kind.rows))
    assert found is not None, "every row was scored"  # noqa: S101
    return found


class Cache:
    """Scores of a run's models, in its own prefix.

    Args:
        run: the run's files.
        scratch: a folder for local copies.
        keys: by side, all that its scores follow from, as JSON.
    """

    def __init__(self, run: RunFiles, scratch: Path, keys: Mapping[str, Any]) -> None:
        self._run, self._scratch = run, scratch
        self._paths = {name: f"{layout.SCORES}/{name}-{_short(key)}.jsonl" for name, key in keys.items()}

    def local(self, name: str) -> Path:
        """The local copy of a side's scores."""
        return self._scratch / f"scores-{name}.jsonl"

    def find(self, name: str, rows: int) -> Scores | None:
        """What an earlier attempt left; None where it left nothing, or not all."""
        target = self._scratch / f"found-{name}.jsonl"
        try:
            self._run.store.get(self._run.uri(self._paths[name]), target)
        except ObjectNotFoundError:
            return None
        try:
            found = scores.read(target, rows)
        except (ValueError, KeyError, IndexError, TypeError):
            return None
        if found is None:
            return None
        shutil.move(target, self.local(name))
        return Scores(found.figures, self.local(name), found.places)

    def keep(self, name: str) -> None:
        """Leaves a side's scores for another attempt."""
        self._run.put_file(self._paths[name], self.local(name))


def _short(key: Any) -> str:
    return digests.of_json(key).removeprefix(digests.PREFIX)[:32]


def code_digest() -> str:
    """Of all of this package's source: other code may score otherwise."""
    folder = Path(attune_trainer.__file__).parent
    names = [name for name in digests.files_below(folder) if name.endswith(".py")]
    return digests.of_folder(digests.of_files(folder, names))

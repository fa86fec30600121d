"""Scores that are kept: what this run, or another over the same base and rows, has scored already is not scored again.

They lie at `scores/<side>-<digest>.jsonl` below the run, by the digest of all that they follow from: model, rows,
prompts, metrics, precision and code. A seal beside them, written last, says what was written; scores without one, or
that differ from theirs, do not exist. See docs/decisions/0015.
"""

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attune_contract import layout, uris
from attune_trainer import digests
from attune_trainer.artifacts import RunFiles
from attune_trainer.errors import ObjectNotFoundError, StageError
from attune_trainer.evaluation import scores
from attune_trainer.evaluation.scores import Scores
from attune_trainer.evaluation.siblings import Siblings

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seal:
    """What the writer of scores says of them.

    Args:
        digest: of the file of scores.
        rows: digest of the ids of the rows that were scored, in their order.
        run: id of the run that scored them, which need not be the one that they lie below.
    """

    digest: str
    rows: str
    run: str

    def dumps(self) -> bytes:
        """As JSON."""
        return json.dumps(vars(self), indent=2).encode() + b"\n"

    @classmethod
    def loads(cls, data: bytes) -> "Seal":
        """From JSON.

        Raises:
            ValueError: it is no seal.
        """
        document = json.loads(data)
        names = ("digest", "rows", "run")
        if not isinstance(document, dict) or not all(isinstance(document.get(name), str) for name in names):
            raise ValueError("it is no seal")
        return cls(*(document[name] for name in names))


@dataclass(frozen=True)
class Kept:
    """Scores of a run's models, in its own prefix.

    Args:
        files: opens the run's files, with the keys as they are then: scoring takes longer than some last.
        run_id: its id.
        scratch: a folder for local copies.
        keys: by side, all that its scores follow from, as JSON.
        siblings: other runs, for sides that are in `shared`.
        shared: sides on which the tuned model has no part.
    """

    files: Callable[[], RunFiles]
    run_id: str
    scratch: Path
    keys: Mapping[str, Any]
    siblings: Siblings
    shared: frozenset[str] = frozenset()
    origins: dict[str, str] = field(default_factory=dict)
    """By side, the other run that scored it; empty until `find` has found some."""

    @property
    def run(self) -> RunFiles:
        """The run's files."""
        return self.files()

    def local(self, name: str) -> Path:
        """The local copy of a side's scores."""
        return self.scratch / f"scores-{name}.jsonl"

    def find(self, name: str, row_ids: Sequence[str]) -> Scores | None:
        """What an earlier attempt left, or another run; None where nobody left these rows whole.

        Args:
            name: of the side.
            row_ids: of the rows that it is to be scored on, in order.
        """
        found = self._from(self.run.root, name, row_ids)
        if found is None and name in self.shared:
            found = self._from_sibling(name, row_ids)
        return found

    def keep(self, name: str, row_ids: Sequence[str]) -> None:
        """Leaves a side's scores for another attempt and other runs; the seal comes last."""
        self._write(name, Seal(digests.of_file(self.local(name)), _rows(row_ids), self.run_id))

    def _write(self, name: str, seal: Seal) -> None:
        path, sealed = self._paths(name)
        self.run.put_file(path, self.local(name))
        self.run.put_bytes(sealed, seal.dumps())

    def _from_sibling(self, name: str, row_ids: Sequence[str]) -> Scores | None:
        """From the first run that has them whole; then they are this run's too, and it needs the other no more."""
        for sibling in self.siblings.holding(*self._paths(name)):
            found = self._from(self.siblings.root(sibling), name, row_ids)
            if found is not None:
                self._write(name, Seal(digests.of_file(found.path), _rows(row_ids), self.origins.get(name, sibling)))
                return found
        return None

    def _from(self, root: str, name: str, row_ids: Sequence[str]) -> Scores | None:
        target = self.scratch / f"found-{name}.jsonl"
        path, sealed = (uris.join(root, path) for path in self._paths(name))
        try:
            seal = Seal.loads(self.run.store.read(sealed))
            self.run.store.get(path, target)
            found = _checked(target, seal, row_ids)
        except ObjectNotFoundError:
            return None
        except (ValueError, KeyError, IndexError, TypeError) as error:
            _log.warning("%s: these scores are not used: %s", path, error)
            return None
        except StageError as error:
            if root == self.run.root:
                raise
            _log.warning("%s: these scores are not used: %s", path, error)
            self.siblings.give_up(error)
            return None
        shutil.move(target, self.local(name))
        if seal.run != self.run_id:
            self.origins[name] = seal.run
        return Scores(found.figures, self.local(name), found.places)

    def _paths(self, name: str) -> tuple[str, str]:
        """Of scores and seal, relative to a run."""
        key = digests.of_json(self.keys[name]).removeprefix(digests.PREFIX)[:32]
        return f"{layout.SCORES}/{name}-{key}.jsonl", f"{layout.SCORES}/{name}-{key}.seal.json"


def _checked(path: Path, seal: Seal, row_ids: Sequence[str]) -> Scores:
    """Scores that are what was written, of these rows.

    Raises:
        ValueError: they are not.
    """
    if digests.of_file(path) != seal.digest:
        raise ValueError("they are not what was written: their digest is another")
    if seal.rows != _rows(row_ids):
        raise ValueError("they are of other rows")
    found = scores.read(path, len(row_ids))
    if found is None:
        raise ValueError("rows are missing")
    return found


def _rows(row_ids: Sequence[str]) -> str:
    return digests.of_json(list(row_ids))

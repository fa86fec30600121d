"""Scores that another run has left: used where they are whole and of the same rows, else scored again."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from attune_contract.enums import MetricName, Stage
from attune_trainer.artifacts import RunFiles
from attune_trainer.errors import AccessDeniedError, StoreUnreachableError
from attune_trainer.evaluation import scores, siblings
from attune_trainer.evaluation.kept import Kept
from attune_trainer.evaluation.scores import Score
from attune_trainer.evaluation.siblings import Siblings
from attune_trainer.evaluation.textmetrics.base import numbers
from attune_trainer.storage.base import ObjectInfo
from attune_trainer.storage.file import FileStore, uri_of

IDS = ("file#1", "file#2", "file#3")
KEY = {"model": ["sha256:1"], "data": {"data/test.parquet": "sha256:2"}}


@dataclass
class Runs:
    """Runs below one output, on disk."""

    folder: Path
    store: FileStore

    def of(self, name: str, key: object = KEY, now: Callable[[], float] = lambda: 0.0) -> Kept:
        runs = uri_of(self.folder / "runs") + "/"
        scratch = self.folder / "scratch" / name
        scratch.mkdir(parents=True, exist_ok=True)
        return Kept(
            files=lambda: RunFiles(self.store, runs + name, Stage.EVALUATE),
            run_id=name,
            scratch=scratch,
            keys={"base": key, "tuned": key},
            siblings=Siblings(self.store, runs, name, now),
            shared=frozenset({"base"}),
        )

    def left(self, name: str, side: str = "base", key: object = KEY) -> Path:
        """Scores that a run left; returns the folder of its scores."""
        kept = self.of(name, key)
        found = (Score(i, {MetricName.ACCURACY: numbers(i % 2, 1)}, {"label": name}) for i in range(len(IDS)))
        scores.write(kept.local(side), found, side)
        kept.keep(side, IDS)
        return self.scores_of(name)

    def scores_of(self, name: str) -> Path:
        return self.folder / "runs" / name / "scores"


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path, FileStore())


def only(folder: Path, end: str) -> Path:
    (found,) = folder.glob(f"*{end}")
    return found


def test_scores_are_left_with_the_keys_of_the_moment(tmp_path: Path) -> None:
    """Scoring takes longer than some keys last."""
    made = Runs(tmp_path, FileStore()).of("run-a", "tuned")
    opened: list[int] = []

    def files() -> RunFiles:
        opened.append(len(opened))
        return made.files()

    kept = replace(made, files=files)
    assert kept.find("base", IDS) is None
    before = len(opened)
    kept.local("base").write_text("")
    kept.keep("base", IDS)

    assert len(opened) > before


def test_another_run_s_scores_are_taken_and_copied_below_the_own_one(runs: Runs) -> None:
    theirs = runs.left("run-a")
    kept = runs.of("run-b")
    found = kept.find("base", IDS)

    assert found is not None
    assert found.figures[MetricName.ACCURACY].tolist() == [[0, 1], [1, 1], [0, 1]]
    assert found.said(2) == {"label": "run-a"}
    assert kept.origins == {"base": "run-a"}
    ours = runs.scores_of("run-b")
    assert {p.name: p.read_bytes() for p in ours.iterdir()} == {p.name: p.read_bytes() for p in theirs.iterdir()}


def test_a_copy_still_names_the_run_that_did_the_scoring(runs: Runs) -> None:
    first = runs.left("run-a")
    assert runs.of("run-b").find("base", IDS) is not None
    for path in first.iterdir():
        path.unlink()
    again, third = runs.of("run-b"), runs.of("run-c")

    assert again.find("base", IDS) is not None
    assert third.find("base", IDS) is not None
    assert again.origins == third.origins == {"base": "run-a"}


def test_own_scores_have_no_other_origin(runs: Runs) -> None:
    runs.left("run-a")
    kept = runs.of("run-a")
    assert kept.find("base", IDS) is not None
    assert kept.origins == {}


def _other_bytes(folder: Path) -> None:
    path = only(folder, ".jsonl")
    path.write_text(path.read_text().replace("[1.0, 1.0]", "[0.0, 1.0]"))


def _cut_short(folder: Path) -> None:
    path = only(folder, ".jsonl")
    path.write_bytes(path.read_bytes()[:-20])


def _reseal(folder: Path, **changes: object) -> None:
    path = only(folder, ".seal.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


DAMAGE = {
    "other-figures": _other_bytes,
    "cut-short": _cut_short,
    "seal-of-other-rows": lambda folder: _reseal(folder, rows="sha256:other"),
    "seal-without-a-run": lambda folder: _reseal(folder, run=None),
    "seal-that-is-no-json": lambda folder: only(folder, ".seal.json").write_text("{"),
    "killed-before-the-seal": lambda folder: only(folder, ".seal.json").unlink(),
    "scores-deleted": lambda folder: only(folder, ".jsonl").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("whose", ["run-a", "run-b"], ids=["own", "other"])
def test_scores_that_are_not_what_was_written_are_scored_again(
    runs: Runs, damage: Callable[[Path], object], whose: str
) -> None:
    damage(runs.left("run-a"))
    kept = runs.of(whose)

    assert kept.find("base", IDS) is None
    assert kept.origins == {}
    assert whose == "run-a" or not runs.scores_of(whose).exists()


def test_a_damaged_run_does_not_hide_a_good_one(runs: Runs) -> None:
    _other_bytes(runs.left("run-a"))
    runs.left("run-c")
    kept = runs.of("run-0")
    assert kept.find("base", IDS) is not None
    assert kept.origins == {"base": "run-c"}


@pytest.mark.parametrize(
    ("side", "key", "ids"),
    [
        pytest.param("base", {**KEY, "model": ["sha256:9"]}, IDS, id="another-model"),
        pytest.param("base", KEY, (*IDS[:2], "file#4"), id="other-rows"),
        pytest.param("base", KEY, IDS[:2], id="fewer-rows"),
        pytest.param("tuned", KEY, IDS, id="tuned-is-never-shared"),
    ],
)
def test_scores_of_something_else_are_not_used(runs: Runs, side: str, key: object, ids: tuple[str, ...]) -> None:
    runs.left("run-a", side)
    assert runs.of("run-b", key).find(side, ids) is None


class Going(FileStore):
    """A folder in which a run is deleted between its listing and its reading."""

    def get(self, uri: str, path: Path) -> None:
        for file in (Path(uri.removeprefix("file://")).parent).iterdir():
            file.unlink()
        super().get(uri, path)


def test_a_run_that_is_deleted_meanwhile_is_no_error(tmp_path: Path) -> None:
    Runs(tmp_path, FileStore()).left("run-a")
    assert Runs(tmp_path, Going()).of("run-b").find("base", IDS) is None


class Refusing(FileStore):
    """A folder that refuses, or does not answer, below one prefix."""

    def __init__(self, what: str, error: Exception) -> None:
        super().__init__()
        self.what, self.error = what, error
        self.asked: list[str] = []

    def folders(self, prefix: str) -> Iterator[str]:
        self._ask(prefix)
        return super().folders(prefix)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self._ask(prefix)
        return super().list(prefix)

    def _ask(self, prefix: str) -> None:
        self.asked.append(prefix)
        if self.what in prefix and "run-x" not in prefix:
            raise self.error


@pytest.mark.parametrize(
    ("what", "error", "found", "listings"),
    [
        pytest.param("runs/", AccessDeniedError("no"), False, 1, id="runs-cannot-be-listed"),
        pytest.param("run-a", AccessDeniedError("no"), True, 3, id="one-run-is-refused"),
        pytest.param("run-a", StoreUnreachableError("gone"), False, 2, id="the-store-stops-answering"),
    ],
)
def test_what_goes_wrong_ends_the_search_and_not_the_evaluation(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    what: str,
    error: Exception,
    found: bool,
    listings: int,
) -> None:
    runs = Runs(tmp_path, FileStore())
    for name in ("run-a", "run-c"):
        runs.left(name)
    store = Refusing(what, error)
    with caplog.at_level(logging.WARNING):
        assert (Runs(tmp_path, store).of("run-0").find("base", IDS) is not None) is found
    assert len(store.asked) == listings
    assert str(error) in caplog.text


def test_only_so_many_runs_are_looked_into_from_the_own_place_on(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(siblings, "MOST_RUNS", 2)
    for name in ("run-a", "run-c", "run-d", "run-e"):
        runs.left(name)
    path = f"scores/{only(runs.scores_of('run-a'), '.jsonl').name}"
    assert list(runs.of("run-b").siblings.holding(path)) == ["run-c", "run-d"]
    assert list(runs.of("run-d").siblings.holding(path)) == ["run-e", "run-a"]


def test_the_search_ends_when_it_takes_too_long(runs: Runs) -> None:
    for name in ("run-a", "run-c", "run-d"):
        runs.left(name)
    path = f"scores/{only(runs.scores_of('run-a'), '.jsonl').name}"
    times = iter([0.0, 1.0, siblings.MOST_SECONDS + 1, siblings.MOST_SECONDS + 2])
    assert list(runs.of("run-0", now=lambda: next(times)).siblings.holding(path)) == ["run-a"]

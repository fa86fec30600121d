"""No checkpoint is given up for what passes, and no damaged one ends an attempt in a way that nobody foresaw."""

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from safetensors import SafetensorError

import survival_factories as survival
import trainer_factories as make
from attune_contract.runconfig import RunConfig
from attune_trainer.checkpointing import store, uploader
from attune_trainer.distributed import Process
from attune_trainer.errors import DigestMismatchError, StoreUnreachableError
from attune_trainer.heart import ALLOWANCE, Heart
from attune_trainer.progress import Board
from attune_trainer.storage.resolve import Stores

if TYPE_CHECKING:
    from attune_trainer.checkpointing.keeper import Keeper


def written(folder: Path, step: int, description: str) -> Path:
    """A complete checkpoint whose checkpoint.json says what is given; empty: it has none."""
    local = folder / f"local-{step}"
    (local / "state").mkdir(parents=True)
    (local / "state" / "weights.safetensors").write_bytes(b"weights")
    if description:
        (local / "checkpoint.json").write_text(description)
    store.write(survival.run_files(folder), local, step, lambda: 1.0)
    return make.run_folder(folder) / "checkpoints" / str(step)


def keeper(folder: Path, told: Board, heart: Heart = Heart(None)) -> "Keeper":  # noqa: B008 - it keeps nothing
    """Of a training that has not begun."""
    given: Any = SimpleNamespace(process=Process.of({}), heart=heart, folder=folder)
    return survival.keeping(given, folder, told=told)[0]


GOOD = json.dumps({**survival.IDENTITY.as_json(), "step": 8})


@pytest.mark.parametrize("description", ["", "{", "[]"], ids=["none", "no JSON", "no mapping"])
def test_a_complete_checkpoint_that_does_not_say_what_it_is_falls_back(tmp_path: Path, description: str) -> None:
    written(tmp_path, 4, GOOD)
    written(tmp_path, 8, description)
    with pytest.raises(DigestMismatchError, match=r"checkpoint\.json cannot be read"):
        store.fetch(survival.run_files(tmp_path), 8, tmp_path / "fetched")
    told = survival.board()
    found = keeper(tmp_path, told)._finder.find()
    assert found is not None
    assert found.step == 4
    assert "Checkpoint 8 cannot be used" in told.read().warnings[0]
    store.forget(found.folder)


@pytest.mark.parametrize(("bad_fetches", "step"), [(1, 8), (2, 4)], ids=["once", "twice"])
def test_a_checkpoint_that_does_not_arrive_whole_is_passed_over_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad_fetches: int, step: int
) -> None:
    written(tmp_path, 4, GOOD)
    newest = written(tmp_path, 8, GOOD)
    asked: list[int] = []
    fetch = store.fetch

    def damaged_on_its_way(run: Any, which: int, target: Path, _beat: Any) -> store.Found:
        asked.append(which)
        if len(asked) <= bad_fetches:
            raise DigestMismatchError("weights.safetensors is not as it was written")
        return fetch(run, which, target)

    monkeypatch.setattr(store, "fetch", damaged_on_its_way)
    told = survival.board()
    finder = keeper(tmp_path, told)._finder
    found = finder.find()
    assert found is not None
    assert found.step == step
    assert bool(told.read().warnings) is (step == 4)
    assert finder.bad == ([8] if step == 4 else [])
    assert (newest / "COMPLETE").exists(), "this machine's disk may be what is damaged"
    store.forget(found.folder)


def test_where_no_checkpoint_can_be_used_nothing_is_lost(tmp_path: Path) -> None:
    """Another attempt, elsewhere, may find them whole; one that trains from the start would take their places."""
    for step in (4, 8):
        written(tmp_path, step, "{")
    with pytest.raises(StoreUnreachableError, match=r"\(8, 4\): .*checkpoints/8: its checkpoint.json cannot be read"):
        keeper(tmp_path, survival.board())._finder.find()

    assert store.resumable(survival.run_files(tmp_path)) == [8, 4]


def test_a_disk_that_fails_is_no_damage_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, 8, GOOD)

    def broken(*_: Any, **__: Any) -> str:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_text", broken)
    with pytest.raises(OSError, match="Input/output"):
        keeper(tmp_path, survival.board())._finder.find()


def test_one_that_could_not_be_used_goes_once_there_is_another(tmp_path: Path) -> None:
    for step in (4, 8):
        written(tmp_path, step, GOOD)
    given: Any = RunConfig.model_validate(make.document(tmp_path))
    local = tmp_path / "new"
    (local / "state").mkdir(parents=True)
    (local / "state" / "weights.safetensors").write_bytes(b"new")
    made = uploader.Made(5, local, lambda: 1.0)
    done = uploader.upload(Stores(given, {}), made, keep=2, bad=[8])

    assert done.artifact is not None, done.error
    assert store.resumable(survival.run_files(tmp_path)) == [5, 4]


def test_a_disk_that_is_full_is_told_and_leaves_nothing_on_it(tmp_path: Path) -> None:
    class Full:
        """Writes half of it, as safetensors does on a disk that is full; its error is no OSError."""

        def write(self, folder: Path) -> None:
            folder.mkdir(parents=True)
            (folder / "weights.safetensors").write_bytes(b"half")
            raise SafetensorError("No space left on device (os error 28)")

    told = survival.board()
    full: Any = Full()
    keeper(tmp_path, told)._write(full, None, {"step": 3}, 0.0, None)
    assert (
        "The checkpoint of step 3 did not get to the store: it could not be written to local disk"
        in (told.read().warnings[0])
    )
    assert not list((tmp_path / "checkpoints").glob("*"))


class Uploads:
    """Stands for the process that uploads: says what it is told to say, and hears what it is asked for."""

    is_busy, is_gone = True, False

    def __init__(self, *said: uploader.Uploaded | None) -> None:
        self._said = list(said)
        self.asked: tuple[Any, ...] = ()

    def ask(self, *asked: Any) -> None:
        self.asked = asked

    def answer(self, _: float | None, beat: Callable[[], None]) -> uploader.Uploaded | None:
        said = self._said.pop(0)
        self.is_busy = bool(self._said)
        beat()
        return said

    def close(self) -> None:
        """Nothing is left of it."""


def test_a_training_that_is_done_is_not_hung_while_its_last_checkpoint_is_on_its_way(tmp_path: Path) -> None:
    now = [0.0]
    heart = Heart(tmp_path / "0.beat", 5, lambda: now[0])
    for number in range(4):
        heart.step(f"step {number}")
        now[0] += 1
    kept = keeper(tmp_path, survival.board(), heart)
    signs = []

    class Slow(Uploads):
        def answer(self, patience: float | None, beat: Callable[[], None]) -> uploader.Uploaded | None:
            now[0] += 100
            said = super().answer(patience, beat) if self.is_busy else None
            signs.append(json.loads((tmp_path / "0.beat").read_text()))
            return said

    kept = keeper(tmp_path, survival.board(), heart)
    kept._uploader = Slow(None, None, uploader.Uploaded(3, error="away"))  # type: ignore[assignment]
    kept.finish()

    assert {(sign["doing"], sign["limit"]) for sign in signs} == {("waiting for the last checkpoint", ALLOWANCE)}
    counts = [sign["count"] for sign in signs[:3]]
    assert counts == sorted(set(counts)), "files on their way are signs of life"


def test_the_best_weights_stay_for_a_checkpoint_when_better_ones_take_their_place(tmp_path: Path) -> None:
    from attune_trainer.checkpointing import state

    kept = keeper(tmp_path, survival.board())
    kept._uploader = uploads = Uploads()  # type: ignore[assignment]
    best = tmp_path / "100.best.safetensors"
    best.write_bytes(b"best so far")
    held = kept._hold(best, 100)
    best.unlink()  # as training does at the next better evaluation
    kept._write(state.Snapshot(documents={"history.json": {}}), held, {"step": 100}, 0.0, None)
    folder = uploads.asked[1]

    assert (folder / "state" / state.BEST).read_bytes() == b"best so far"
    assert not held.exists()


def test_a_part_that_could_not_be_written_is_told_to_who_waits_for_it(tmp_path: Path) -> None:
    full: Any = SimpleNamespace(write=lambda _: 1 / 0)
    kept = keeper(tmp_path, survival.board())
    kept._uploader = uploads = Uploads()  # type: ignore[assignment]
    kept._write(full, None, {"step": 3}, 0.0, store.Part(1, 2, "token"))

    assert uploads.asked[0] == 3
    assert uploads.asked[-1] == "it could not be written to local disk: division by zero"


def test_that_a_part_will_not_come_gets_to_the_store(tmp_path: Path) -> None:
    made = uploader.Uploader(RunConfig.model_validate(make.document(tmp_path)), 2)
    made.ask(3, tmp_path / "none", 0.0, store.Part(1, 2, "token"), "the disk is full")
    said = made.answer(60)
    made.close()

    assert said is not None
    assert said.error == "the disk is full"
    assert survival.run_files(tmp_path).read_json("checkpoints/3/parts/token-1.json") == {"failed": "the disk is full"}


@pytest.mark.parametrize("program", ["", "print('no JSON', flush=True); input()"], ids=["gone", "not understood"])
def test_nobody_waits_for_an_uploader_that_is_gone_or_cannot_be_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda _, **how: start([sys.executable, "-c", program], **how))
    made = uploader.Uploader(RunConfig.model_validate(make.document(tmp_path)), 2)
    made._process.wait(30)
    made.ask(3, tmp_path, 0.0)
    said = made.answer(30)

    assert said is not None
    assert said.error == "the process that uploads checkpoints ended"
    assert made.is_gone
    made.close()  # with something left to say that nobody hears


CHATTY = """
from attune_trainer.checkpointing import uploader
upload = uploader.upload
def chatty(*args, **more):
    print("a library says hello")
    return upload(*args, **more)
uploader.upload = chatty
uploader.main()
"""


def test_what_a_library_prints_while_it_uploads_is_no_answer(tmp_path: Path) -> None:
    """Else training would wait for the answer for ever."""
    local = tmp_path / "checkpoint"
    (local / "state").mkdir(parents=True)
    (local / "checkpoint.json").write_text(GOOD)
    asked = {"step": 8, "folder": str(local), "begun": 0.0, "part": None, "failed": ""}
    lines = [{"config": make.document(tmp_path), "keep": 2, "bad": []}, asked]
    said = subprocess.run(
        [sys.executable, "-c", CHATTY],
        input="".join(f"{json.dumps(line)}\n" for line in lines),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert [json.loads(line)["step"] for line in said.stdout.splitlines()] == [8]
    assert "a library says hello" in said.stderr

"""No checkpoint is given up for what passes, and no damaged one ends an attempt in a way that nobody foresaw."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from safetensors import SafetensorError

import survival_factories as survival
import trainer_factories as make
from attune_trainer.checkpointing import store
from attune_trainer.distributed import Process
from attune_trainer.errors import DigestMismatchError
from attune_trainer.heart import Heart
from attune_trainer.progress import Board

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


def keeper(folder: Path, told: Board) -> "Keeper":
    """Of a training that has not begun."""
    given: Any = SimpleNamespace(process=Process.of({}), heart=Heart(None), folder=folder)
    return survival.keeping(given, folder, told=told)[0]


GOOD = json.dumps({**survival.IDENTITY.as_json(), "step": 8})


@pytest.mark.parametrize("description", ["", "{", "[]"], ids=["none", "no JSON", "no mapping"])
def test_a_complete_checkpoint_that_does_not_say_what_it_is_falls_back(tmp_path: Path, description: str) -> None:
    written(tmp_path, 4, GOOD)
    written(tmp_path, 8, description)
    with pytest.raises(DigestMismatchError, match=r"checkpoint\.json cannot be read"):
        store.fetch(survival.run_files(tmp_path), 8, tmp_path / "fetched")
    told = survival.board()
    found = keeper(tmp_path, told)._newest()
    assert found is not None
    assert found.step == 4
    assert "Checkpoint 8 cannot be used" in told.read().warnings[0]
    store.forget(found.folder)


@pytest.mark.parametrize(("bad_fetches", "step"), [(1, 8), (2, 4)], ids=["on its way here", "in the store"])
def test_a_checkpoint_is_given_up_only_where_it_is_damaged_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad_fetches: int, step: int
) -> None:
    written(tmp_path, 4, GOOD)
    newest = written(tmp_path, 8, GOOD)
    asked: list[int] = []
    fetch = store.fetch

    def damaged_on_its_way(run: Any, which: int, target: Path) -> store.Found:
        asked.append(which)
        if len(asked) <= bad_fetches:
            raise DigestMismatchError("weights.safetensors is not as it was written")
        return fetch(run, which, target)

    monkeypatch.setattr(store, "fetch", damaged_on_its_way)
    told = survival.board()
    found = keeper(tmp_path, told)._newest()
    assert found is not None
    assert found.step == step
    assert bool(told.read().warnings) is (step == 4)
    assert (newest / "COMPLETE").exists() is (step == 8)
    store.forget(found.folder)


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
    asked = {"step": 8, "folder": str(local), "begun": 0.0, "part": None}
    lines = [{"config": make.document(tmp_path), "keep": 2}, asked]
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

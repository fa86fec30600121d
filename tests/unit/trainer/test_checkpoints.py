"""Checkpoints while training goes on: how many are kept, which is gone on from, and which is refused."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import survival_factories as survival
import trainer_factories as make
from attune_contract.enums import Method, Stage, StopReason
from attune_trainer import results
from attune_trainer.checkpointing import store
from attune_trainer.errors import DigestMismatchError, InvalidConfigurationError, StoppedError, StoreUnreachableError
from attune_trainer.storage.file import FileStore

STEPS = {"maxSteps": 12, "batchSize": 4}
OFTEN = {"checkpoint": {"intervalSeconds": 0, "keep": 2}}


def checkpoints(folder: Path) -> Path:
    return make.run_folder(folder) / "checkpoints"


def written(folder: Path, step: int, **description: Any) -> Path:
    """A complete checkpoint that looks like one of training's, without a training."""
    local = folder / "local"
    (local / "state").mkdir(parents=True, exist_ok=True)
    (local / "state" / "weights.safetensors").write_bytes(f"weights of {step}".encode())
    (local / "checkpoint.json").write_text(json.dumps({**survival.IDENTITY.as_json(), "step": step, **description}))
    store.write(survival.run_files(folder), local, step, lambda: 1.5)
    return checkpoints(folder) / str(step)


def test_a_checkpoint_is_fetched_as_it_was_written(tmp_path: Path) -> None:
    written(tmp_path, 30)
    found = store.fetch(survival.run_files(tmp_path), 30, tmp_path / "fetched")

    assert (found.step, found.seconds) == (30, 1.5)
    assert (found.folder / "state" / "weights.safetensors").read_bytes() == b"weights of 30"
    assert found.artifact.path == "checkpoints/30/"


def truncate(folder: Path) -> None:
    (folder / "state" / "weights.safetensors").write_bytes(b"weights")


def remove_file(folder: Path) -> None:
    (folder / "state" / "weights.safetensors").unlink()


def remove_mark(folder: Path) -> None:
    (folder / "COMPLETE").unlink()


def garble_mark(folder: Path) -> None:
    (folder / "COMPLETE").write_text("{")


def climb_out(folder: Path) -> None:
    mark = json.loads((folder / "COMPLETE").read_text())
    files = {"../../outside": "sha256:0", **mark["files"]}
    (folder / "COMPLETE").write_text(json.dumps({**mark, "files": files, "digest": store._digest(files)}))


DAMAGES = [truncate, remove_file, remove_mark, garble_mark, climb_out]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_not_one(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    damage(written(tmp_path, 30))

    with pytest.raises(DigestMismatchError):
        store.fetch(survival.run_files(tmp_path), 30, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        pytest.param({}, None, "", id="the-same"),
        pytest.param({"configurationDigest": "x"}, InvalidConfigurationError, "another configuration", id="other-spec"),
        pytest.param({"dataDigest": "x"}, DigestMismatchError, "another data", id="other-data"),
        pytest.param({"modelDigest": "x"}, DigestMismatchError, "another base model", id="other-model"),
        pytest.param(
            {"dataDigest": "x", "configurationDigest": "x"},
            DigestMismatchError,
            "another configuration and another data",
            id="both",
        ),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(
    changed: dict[str, str], error: type[Exception] | None, words: str
) -> None:
    description = survival.IDENTITY.as_json() | changed
    if error is None:
        survival.IDENTITY.demand("s3://b/checkpoints/3", description)
        return
    with pytest.raises(error, match=f"s3://b/checkpoints/3: this checkpoint was made with {words} than"):
        survival.IDENTITY.demand("s3://b/checkpoints/3", description)


@pytest.mark.parametrize(
    ("complete", "partial", "keep", "spare", "left"),
    [
        pytest.param([10, 20, 30], [], 2, [], [20, 30], id="the-newest-are-kept"),
        pytest.param([10, 20], [15, 30], 2, [], [10, 20], id="partial-ones-go"),
        pytest.param([10, 20], [30], 1, [30], [20, 30], id="not-the-one-being-written"),
        pytest.param([10], [], 5, [], [10], id="fewer-than-are-kept"),
        pytest.param([], [], 2, [], [], id="none"),
        pytest.param([10, 20], [], 0, [20], [20], id="all-but-the-last-once-training-is-done"),
    ],
)
def test_what_is_swept(
    tmp_path: Path, complete: list[int], partial: list[int], keep: int, spare: list[int], left: list[int]
) -> None:
    for step in complete:
        written(tmp_path, step)
    for step in partial:
        remove_mark(written(tmp_path, step))
    store.sweep(survival.run_files(tmp_path), keep, spare)

    assert sorted(store.steps(survival.run_files(tmp_path))) == left


def final(folder: Path, step: int) -> None:
    """One as training leaves it at its end, which cannot be gone on from."""
    local = folder / "final"
    local.mkdir()
    (local / "adapter_model.safetensors").write_bytes(b"weights at the end")
    store.write(survival.run_files(folder), local, step, lambda: 0.0)


def test_one_without_a_state_takes_no_place_of_one_that_can_be_gone_on_from(tmp_path: Path) -> None:
    written(tmp_path, 10)
    final(tmp_path, 40)
    store.sweep(survival.run_files(tmp_path), 1, {40})

    assert store.resumable(survival.run_files(tmp_path)) == [10]


def test_what_never_became_an_object_goes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(FileStore, "drop_uploads", lambda _, prefix: asked.append(prefix))
    store.sweep(survival.run_files(tmp_path), 1)

    assert asked == [f"file://{checkpoints(tmp_path)}/"]


def test_only_complete_ones_with_a_state_can_be_gone_on_from(tmp_path: Path) -> None:
    written(tmp_path, 10)
    written(tmp_path, 20)
    remove_mark(written(tmp_path, 30))
    final(tmp_path, 40)

    assert store.resumable(survival.run_files(tmp_path)) == [20, 10]


@pytest.mark.slow
def test_training_leaves_the_newest_checkpoints_and_nothing_that_is_a_pickle(tmp_path: Path) -> None:
    told = survival.board()
    stopped = survival.attempt(
        survival.job(tmp_path, Method.SFT, training=STEPS), tmp_path, told=told, stop_after=9, **OFTEN
    )

    assert stopped.path == "checkpoints/9/"
    assert told.read().checkpoint_step == 9
    assert told.read().checkpoint_seconds
    left = sorted(store.steps(survival.run_files(tmp_path)))
    assert len(left) == 2
    assert left[-1] == 9
    names = {path.suffix for path in checkpoints(tmp_path).rglob("*") if path.is_file()}
    assert names == {".safetensors", ".json", ""}
    described = json.loads((checkpoints(tmp_path) / "9" / "checkpoint.json").read_text())
    assert (described["step"], described["worldSize"], described["totalSteps"]) == (9, 1, 12)
    assert described["tokens"] > 0
    assert described["configurationDigest"] == survival.IDENTITY.configuration
    assert not list((tmp_path / "checkpoints").glob("*"))  # the local copies are gone


@pytest.mark.slow
def test_a_corrupt_newest_checkpoint_falls_back_to_the_one_before_and_says_so(tmp_path: Path) -> None:
    for stop in (4, 8):
        survival.attempt(survival.job(tmp_path, Method.SFT, training=STEPS), tmp_path, stop_after=stop)
    truncate(checkpoints(tmp_path) / "8")
    told = survival.board()
    found, _ = survival.attempt(survival.job(tmp_path, Method.SFT, training=STEPS), tmp_path, told=told)

    assert told.read().resumed_from_step == 4
    assert "Checkpoint 8 cannot be used, so an older one is" in told.read().warnings[0]
    assert [step.step for step in found.history] == list(range(1, 13))


@pytest.mark.slow
def test_a_checkpoint_of_another_configuration_ends_the_attempt(tmp_path: Path) -> None:
    survival.attempt(survival.job(tmp_path, Method.SFT, training=STEPS), tmp_path, stop_after=4)
    other = replace(survival.IDENTITY, configuration="sha256:other")

    with pytest.raises(InvalidConfigurationError, match="checkpoints/4: this checkpoint was made with another"):
        survival.attempt(survival.job(tmp_path, Method.SFT, training=STEPS), tmp_path, identity=other)


@pytest.mark.slow
def test_a_budget_that_is_used_up_stops_training_with_a_checkpoint(tmp_path: Path) -> None:
    given = survival.job(tmp_path, Method.SFT, training=STEPS)
    keeper, _ = survival.keeping(given, tmp_path, deadlineSeconds=0)

    with pytest.raises(StoppedError, match=r"spec.budget is used up; raise it") as stopped:
        survival.methods.train(replace(given, keeper=keeper))
    assert (stopped.value.why, stopped.value.checkpoint.path) == (StopReason.BUDGET, "checkpoints/0/")
    found, _ = survival.attempt(survival.job(tmp_path, Method.SFT, training=STEPS), tmp_path)
    assert found.figures.steps == 12


@pytest.mark.slow
def test_a_store_that_fails_costs_no_training_but_is_told(tmp_path: Path) -> None:
    make.run_folder(tmp_path).mkdir(parents=True)
    checkpoints(tmp_path).write_text("a file where the folder should be")
    told = survival.board()
    found, _ = survival.attempt(survival.job(tmp_path, Method.SFT, training=STEPS), tmp_path, told=told, **OFTEN)

    assert [step.step for step in found.history] == list(range(1, 13))
    assert "did not get to the store" in told.read().warnings[0]


@pytest.mark.slow
def test_a_training_that_must_stop_without_a_store_says_so(tmp_path: Path) -> None:
    make.run_folder(tmp_path).mkdir(parents=True)
    checkpoints(tmp_path).write_text("a file where the folder should be")
    with pytest.raises(StoreUnreachableError, match="its checkpoint did not get to the store"):
        survival.attempt(survival.job(tmp_path, Method.SFT, training=STEPS), tmp_path, stop_after=3)


@pytest.mark.slow
@pytest.mark.parametrize("slow", ["disk", "store"])
def test_training_goes_on_while_a_checkpoint_is_written_and_uploaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    """Disk or store take until training is five steps on; who waited for them would wait for ever."""
    from attune_trainer.checkpointing import keeper, state

    on, waited = threading.Event(), []
    real: Any = keeper.Uploader.ask if slow == "store" else state.Snapshot.write

    def held_up(*given: Any) -> Any:
        waited.append(on.wait(60))
        return real(*given)

    monkeypatch.setattr(*((keeper.Uploader, "ask") if slow == "store" else (state.Snapshot, "write")), held_up)
    given = survival.job(tmp_path, Method.SFT, training=STEPS)
    told = survival.board()
    survival.attempt(given, tmp_path, told=told, on_step=lambda step: on.set() if step.step == 6 else None, **OFTEN)

    assert waited[0], "training did not wait"
    assert told.read().checkpoint_step
    assert not told.read().warnings


@pytest.mark.slow
@pytest.mark.parametrize("fails", ["before its result is recorded", "while older ones are removed"])
def test_no_checkpoint_goes_before_the_result_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    make.make_model(tmp_path / "model")
    make.write_jsonl(tmp_path / "data" / "train.jsonl", make.colour_rows())
    made = make.document(tmp_path) | {"checkpoint": {"intervalSeconds": 0, "keep": 1}}
    make.run_stages(made, [Stage.PREFLIGHT])

    def away(*_: Any) -> None:
        raise StoreUnreachableError("the store is away")

    monkeypatch.setattr(*((results, "save") if fails.startswith("before") else (store, "sweep")), away)
    outcome, code = make.run_stage(made, Stage.TRAIN)

    assert store.resumable(survival.run_files(tmp_path)), "there is one to go on from"
    assert (code, outcome.reason) == ((20, "StoreUnreachable") if fails.startswith("before") else (0, "Completed"))


@pytest.mark.slow
def test_of_a_training_that_is_done_as_many_stay_as_are_kept(tmp_path: Path) -> None:
    make.make_model(tmp_path / "model")
    make.write_jsonl(tmp_path / "data" / "train.jsonl", make.colour_rows())
    made = make.document(tmp_path) | {"checkpoint": {"intervalSeconds": 0, "keep": 1}}
    make.run_stages(made, [Stage.PREFLIGHT, Stage.TRAIN])

    assert len(store.steps(survival.run_files(tmp_path))) == 1
    assert not store.resumable(survival.run_files(tmp_path))

"""The files of a deleted run go, and nobody else's."""

from pathlib import Path

import pytest

from attune_contract.runconfig import RunConfig
from attune_trainer.errors import AccessDeniedError, InvalidConfigurationError
from attune_trainer.storage.file import FileStore
from attune_trainer.sweep import main, sweep
from trainer_factories import document

MINE, OTHER = "3f1c9a2b-0000-4000-8000-000000000000", "3f1c9a2b-0000-4000-8000-000000000001"


def run_of(folder: Path, run_id: str = MINE) -> RunConfig:
    made = RunConfig.model_validate(document(folder))
    output = made.workload.output.model_copy(update={"uri": folder.as_uri()})
    workload = made.workload.model_copy(update={"output": output})
    return made.model_copy(update={"workload": workload, "run": made.run.model_copy(update={"id": run_id})})


def leave(folder: Path, run_id: str, *names: str) -> None:
    for name in names:
        path = folder / "runs" / run_id / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder / "runs")) for p in (folder / "runs").rglob("*") if p.is_file()}


def test_everything_below_the_runs_own_prefix_goes(tmp_path: Path) -> None:
    leave(tmp_path, MINE, "manifest.json", "model/model.safetensors", "checkpoints/300/COMPLETE")
    leave(tmp_path, OTHER, "manifest.json")
    leave(tmp_path, f"{MINE}-more", "manifest.json")
    assert sweep(run_of(tmp_path), {}) == 3
    assert files(tmp_path) == {f"{OTHER}/manifest.json", f"{MINE}-more/manifest.json"}
    assert sweep(run_of(tmp_path), {}) == 0, "again, after a crash: nothing to do"


@pytest.mark.parametrize("refused", [False, True])
def test_uploads_that_never_became_objects_go_too_where_the_keys_may_see_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    asked: list[str] = []

    def drop(_: FileStore, prefix: str) -> None:
        asked.append(prefix)
        if refused:
            raise AccessDeniedError("no")

    monkeypatch.setattr(FileStore, "drop_uploads", drop)
    leave(tmp_path, MINE, "manifest.json")

    assert sweep(run_of(tmp_path), {}) == 1
    assert asked == [f"{tmp_path.as_uri()}/runs/{MINE}/"]


@pytest.mark.parametrize("run_id", ["", "..", "a/b/c/d/e/f", "short"])
def test_without_a_run_id_nothing_is_removed(tmp_path: Path, run_id: str) -> None:
    leave(tmp_path, OTHER, "manifest.json")
    with pytest.raises(InvalidConfigurationError):
        sweep(run_of(tmp_path, run_id), {})
    assert files(tmp_path)


def test_the_command_says_what_it_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave(tmp_path, MINE, "manifest.json")
    path = tmp_path / "config.json"
    path.write_text(run_of(tmp_path).model_dump_json(exclude_none=True))
    assert main(["--config", str(path)]) == 0
    assert "Removed 1 objects" in capsys.readouterr().out


def test_the_command_says_why_it_could_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path / "none.json")]) == 11
    assert "InvalidConfiguration" in capsys.readouterr().err

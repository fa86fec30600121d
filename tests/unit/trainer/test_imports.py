"""What a stage does not use it does not import."""

import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from attune_contract.enums import Stage
from attune_contract.runconfig import RunConfig
from attune_trainer import command, imports, supervision
from trainer_factories import document

ALL = {"datasets", "pandas", "bitsandbytes", "sklearn", "scipy"}


@pytest.mark.parametrize(
    ("stage", "changes", "kept_out"),
    [
        pytest.param(Stage.PREFLIGHT, {}, set(), id="preflight has no torch, and imports little"),
        pytest.param(Stage.TRAIN, {}, ALL, id="SFT trains on transformers alone"),
        pytest.param(Stage.TRAIN, {"method": "DPO"}, {"bitsandbytes", "sklearn", "scipy"}, id="DPO trains on TRL"),
        pytest.param(Stage.EVALUATE, {"method": "DPO"}, ALL - {"scipy"}, id="only its training is on TRL"),
        pytest.param(Stage.PUBLISH, {"method": "DPO"}, ALL, id="publishing has no statistics"),
        pytest.param(Stage.TRAIN, {"tuning": {"type": "QLoRA"}}, ALL - {"bitsandbytes"}, id="QLoRA"),
        pytest.param(Stage.PUBLISH, {"tuning": {"type": "QLoRA"}}, ALL - {"bitsandbytes"}, id="QLoRA, merged"),
        pytest.param(
            Stage.TRAIN,
            {"method": "Classification", "classification": {"style": "Head"}},
            ALL - {"scipy"},
            id="FNet computes with scipy",
        ),
        pytest.param(Stage.POLL, {}, set(), id="polling has no torch"),
        pytest.param(
            Stage.MONITOR, {}, {"datasets"}, id="scikit-learn looks at pandas, and a challenger may be of QLoRA"
        ),
    ],
)
def test_modules_without_use_are_kept_out(
    tmp_path: Path, stage: Stage, changes: dict[str, object], kept_out: set[str]
) -> None:
    config = RunConfig.model_validate(document(tmp_path, **changes))
    assert imports.unused(config, stage) == kept_out


def test_code_that_a_model_brings_finds_all_that_is_installed(tmp_path: Path) -> None:
    trusted = {**document(tmp_path), "runtime": {"name": "laptop", "trustRemoteCode": True}}
    assert imports.unused(RunConfig.model_validate(trusted), Stage.TRAIN) == set()


@pytest.fixture
def collector_is_off() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


@pytest.mark.usefixtures("collector_is_off")
def test_a_stage_collects_garbage() -> None:
    command._entry(Stage.POLL)
    assert gc.isenabled()


@pytest.mark.usefixtures("collector_is_off")
def test_the_process_that_watches_over_training_collects_garbage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collects: list[bool] = []
    monkeypatch.setattr(supervision, "run", lambda *_: collects.append(gc.isenabled()) or 0)
    file = tmp_path / "run.json"
    file.write_text(json.dumps(document(tmp_path)))
    assert command.main(["train", "--config", str(file)]) == 0
    assert collects == [True]


def test_garbage_is_collected_again_once_all_is_read() -> None:
    code = (
        "import gc; gc.disable()\n"
        "from attune_trainer import imports\n"
        "imports.over(); print(gc.isenabled(), gc.get_freeze_count() > 1000)\n"
        "known = gc.get_freeze_count(); imports.over(); print(gc.get_freeze_count() == known)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.split() == ["True", "True", "True"], done.stderr


def test_what_is_loaded_stays_and_what_is_not_looks_as_if_it_were_not_there() -> None:
    modules = {"loaded": pytest}
    imports.keep_out(frozenset({"loaded", "absent"}), modules)
    assert modules == {"loaded": pytest, "absent": None}


def test_a_look_works_with_what_its_pod_keeps_out(tmp_path: Path) -> None:
    out = sorted(imports.unused(RunConfig.model_validate(document(tmp_path)), Stage.MONITOR))
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({out!r}))\n"
        "from attune_trainer.monitoring import inputs\n"
        "rows = [f'word{chr(97 + i % 20)} and more' for i in range(60)]\n"
        "print(inputs.compare(rows, rows, 0.01, 1).drifted)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip() == "False", done.stderr

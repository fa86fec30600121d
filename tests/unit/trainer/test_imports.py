"""What a stage does not use it does not import."""

from pathlib import Path

import pytest

from attune_contract.enums import Stage
from attune_contract.spec import Workload
from attune_trainer import imports
from trainer_factories import workload

ALL = {"datasets", "pandas", "bitsandbytes"}


@pytest.mark.parametrize(
    ("stage", "changes", "kept_out"),
    [
        pytest.param(Stage.PREFLIGHT, {}, set(), id="preflight has no torch, and imports little"),
        pytest.param(Stage.TRAIN, {}, ALL, id="SFT trains on transformers alone"),
        pytest.param(Stage.TRAIN, {"method": "DPO"}, {"bitsandbytes"}, id="DPO trains on TRL"),
        pytest.param(Stage.EVALUATE, {"method": "DPO"}, ALL, id="only its training is on TRL"),
        pytest.param(Stage.TRAIN, {"tuning": {"type": "QLoRA"}}, {"datasets", "pandas"}, id="QLoRA"),
        pytest.param(Stage.PUBLISH, {"tuning": {"type": "QLoRA"}}, {"datasets", "pandas"}, id="QLoRA, merged"),
    ],
)
def test_modules_without_use_are_kept_out(
    tmp_path: Path, stage: Stage, changes: dict[str, object], kept_out: set[str]
) -> None:
    work = Workload.model_validate(workload(tmp_path, **changes))
    assert imports.unused(work, stage) == kept_out


def test_what_is_loaded_stays_and_what_is_not_looks_as_if_it_were_not_there() -> None:
    modules = {"loaded": pytest}
    imports.keep_out(frozenset({"loaded", "absent"}), modules)
    assert modules == {"loaded": pytest, "absent": None}

"""What a stage does not use it does not import."""

import subprocess
import sys
from pathlib import Path

import pytest

from attune_contract.enums import Stage
from attune_contract.spec import Workload
from attune_trainer import imports
from trainer_factories import workload

ALL = {"datasets", "pandas", "bitsandbytes", "sklearn"}


@pytest.mark.parametrize(
    ("stage", "changes", "kept_out"),
    [
        pytest.param(Stage.PREFLIGHT, {}, set(), id="preflight has no torch, and imports little"),
        pytest.param(Stage.TRAIN, {}, ALL, id="SFT trains on transformers alone"),
        pytest.param(Stage.TRAIN, {"method": "DPO"}, {"bitsandbytes", "sklearn"}, id="DPO trains on TRL"),
        pytest.param(Stage.EVALUATE, {"method": "DPO"}, ALL, id="only its training is on TRL"),
        pytest.param(Stage.TRAIN, {"tuning": {"type": "QLoRA"}}, {"datasets", "pandas", "sklearn"}, id="QLoRA"),
        pytest.param(
            Stage.PUBLISH, {"tuning": {"type": "QLoRA"}}, {"datasets", "pandas", "sklearn"}, id="QLoRA, merged"
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
    work = Workload.model_validate(workload(tmp_path, **changes))
    assert imports.unused(work, stage) == kept_out


def test_what_is_loaded_stays_and_what_is_not_looks_as_if_it_were_not_there() -> None:
    modules = {"loaded": pytest}
    imports.keep_out(frozenset({"loaded", "absent"}), modules)
    assert modules == {"loaded": pytest, "absent": None}


def test_a_look_works_with_what_its_pod_keeps_out(tmp_path: Path) -> None:
    out = sorted(imports.unused(Workload.model_validate(workload(tmp_path)), Stage.MONITOR))
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({out!r}))\n"
        "from attune_trainer.monitoring import inputs\n"
        "rows = [f'word{chr(97 + i % 20)} and more' for i in range(60)]\n"
        "print(inputs.compare(rows, rows, 0.01, 1).drifted)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip() == "False", done.stderr

"""A published model says again what the evaluation recorded, or is not published."""

import json
from pathlib import Path
from typing import Any

import pytest

import trainer_factories as make
from attune_contract.enums import Stage
from attune_contract.spec import Workload
from attune_trainer import digests
from attune_trainer.publishing import proof

pytestmark = pytest.mark.slow

LEARNT = {"epochs": 6, "maxSteps": None, "learningRate": 0.02}
BEFORE = [Stage.PREFLIGHT, Stage.TRAIN, Stage.EVALUATE]
FORMATS = {
    "adapter": {"output": {"format": "Adapter"}},
    "merged": {"output": {"format": "Merged"}},
    "both": {"output": {"format": "Both"}},
    "full": {"tuning": {"type": "Full"}},
}


def prepared(folder: Path, **changes: Any) -> dict[str, Any]:
    make.make_model(folder / "model")
    make.write_jsonl(folder / "data" / "train.jsonl", make.colour_rows())
    split = {"split": {"testFraction": 0.75, "seed": 1}}
    return make.document(folder, **{"training": LEARNT, "dataset": split, **changes})


def manifest_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((make.run_folder(folder) / "manifest.json").read_text())
    return found


@pytest.mark.parametrize("changes", FORMATS.values(), ids=FORMATS)
def test_what_is_published_says_it_again(tmp_path: Path, changes: dict[str, Any]) -> None:
    done = make.run_stages(prepared(tmp_path, **changes))
    found = manifest_of(tmp_path)

    assert found["reproduced"]["rows"] == 20
    assert found["reproduced"]["tolerance"] == proof.EXACT
    assert found["reproduced"]["largestDifference"] < 1e-4
    assert found["reproduced"]["ties"] == 0
    assert "says on 20 held-out rows what the evaluation recorded" in done[Stage.PUBLISH].message


def test_the_manifest_has_a_digest_over_all_of_it(tmp_path: Path) -> None:
    make.run_stages(prepared(tmp_path, training={"epochs": None, "maxSteps": 1}))
    found = manifest_of(tmp_path)

    assert found.pop("digest") == digests.of_json(found)
    assert found["evaluation"]["verdict"] == "Passed"
    assert found["rows"] == {"train": 8, "validation": 0, "test": 24, "leaked": 0}


def halve(folder: Path) -> None:
    """Makes the adapter half as strong."""
    from safetensors.torch import load_file, save_file

    file = folder / "adapter_model.safetensors"
    save_file({k: v * (0.5 if "lora_B" in k else 1) for k, v in load_file(file).items()}, file, {"format": "pt"})


def forget_the_template(folder: Path) -> None:
    """Publishes another chat template than the one that was trained with."""
    for file in folder.glob("chat_template*"):
        file.write_text("{% for m in messages %}{{ m['content'] }}{{ '<|im_end|>' }}{% endfor %}")


@pytest.mark.parametrize(
    ("spoil", "rows"),
    [
        pytest.param(halve, make.colour_rows, id="other-weights"),
        pytest.param(forget_the_template, make.chat_rows, id="another-chat-template"),
    ],
)
def test_a_model_that_says_something_else_is_not_published(
    tmp_path: Path, spoil: Any, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from attune_trainer.stages import publish

    real = publish._assemble

    def assemble(*given: Any) -> None:
        real(*given)
        spoil(given[-1])

    made = prepared(tmp_path)
    make.write_jsonl(tmp_path / "data" / "train.jsonl", rows())
    make.run_stages(made, BEFORE)
    monkeypatch.setattr(publish, "_assemble", assemble)
    outcome, code = make.run_stage(made, Stage.PUBLISH)

    assert (code, outcome.reason) == (10, "NotReproduced")
    assert "20 held-out rows come out otherwise (file://" in outcome.message
    assert not (make.run_folder(tmp_path) / "manifest.json").exists()


def test_a_model_whose_gate_did_not_pass_is_not_published(tmp_path: Path) -> None:
    gate = {"require": [{"metric": "ExactMatch", "minimum": 0.999}]}
    made = prepared(tmp_path, training={"epochs": None, "maxSteps": 1}, evaluation={"gate": gate})
    make.run_stages(made, BEFORE)
    outcome, code = make.run_stage(made, Stage.PUBLISH)

    assert (code, outcome.reason) == (11, "GateNotMet")
    assert "ExactMatch" in outcome.message
    assert not (make.run_folder(tmp_path) / "model").exists()


@pytest.mark.parametrize(
    ("tuning", "form", "precision", "stored", "allowed"),
    [
        pytest.param("LoRA", "Adapter", "float32", "bfloat16", proof.EXACT, id="the-same-weights"),
        pytest.param("Full", "Merged", "float32", "bfloat16", proof.EXACT, id="all-weights-as-they-were-evaluated"),
        pytest.param("LoRA", "Merged", "float32", "float32", proof.EXACT, id="folded-in-without-rounding"),
        pytest.param("LoRA", "Merged", "float32", "bfloat16", proof.ROUNDED, id="folded-in-and-rounded"),
        pytest.param("LoRA", "Adapter", "bfloat16", "float32", proof.ROUNDED, id="evaluated-in-bfloat16"),
        pytest.param("QLoRA", "Adapter", "bfloat16", "bfloat16", proof.FOUR_BIT, id="evaluated-over-4-bits"),
    ],
)
def test_what_may_differ(tuning: str, form: str, precision: str, stored: str, allowed: float) -> None:
    import torch

    blocks = make.workload(Path("/x"), tuning={"type": tuning}, output={"format": form})
    blocks["resources"] = {"gpusPerNode": 1}

    assert proof.tolerance(Workload.model_validate(blocks), precision, getattr(torch, stored)) == allowed


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(3, [0, 1, 2], id="few"),
        pytest.param(20, list(range(20)), id="as-many"),
        pytest.param(100, list(range(0, 100, 5)), id="many"),
    ],
)
def test_rows_are_taken_from_all_over(rows: int, expected: list[int]) -> None:
    assert proof.spread(rows) == expected

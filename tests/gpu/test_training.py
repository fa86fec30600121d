"""Training and evaluation on a CUDA device. Skips itself where there is none, saying so."""

import json
from pathlib import Path
from typing import Any

import pytest

import trainer_factories as make
from attune_contract.enums import MetricName, Stage

torch = pytest.importorskip("torch", reason="torch is not installed")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: torch.cuda.is_available() is False"),
]


@pytest.mark.parametrize("tuning", [{"type": "LoRA", "dropout": 0.0}, {"type": "Full"}], ids=["lora", "full"])
def test_a_tiny_model_learns_in_bfloat16(tmp_path: Path, tuning: dict[str, Any]) -> None:
    make.make_model(tmp_path / "model")
    make.write_jsonl(tmp_path / "data" / "train.jsonl", make.colour_rows())
    made = make.document(
        tmp_path,
        tuning=tuning,
        resources={"gpusPerNode": 1},
        training={"epochs": 20, "learningRate": 0.02 if tuning["type"] == "LoRA" else 0.01},
        dataset={"split": {"testFraction": 0.25, "seed": 1}},
    )
    done = make.run_stages(made)
    report = json.loads((make.run_folder(tmp_path) / "reports" / "training.json").read_text())

    assert report["settings"]["device"] == "cuda"
    assert report["settings"]["precision"] == ("bfloat16" if torch.cuda.is_bf16_supported() else "float32")
    assert done[Stage.TRAIN].training is not None
    assert done[Stage.TRAIN].training.train_loss < 0.7
    exact = next(r for r in done[Stage.EVALUATE].evaluation if r.metric is MetricName.EXACT_MATCH)
    assert exact.tuned >= 0.75 > exact.value

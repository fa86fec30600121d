"""Every method over a 4-bit base on a CUDA device: training, evaluation over the same 4-bit base, and publishing."""

from pathlib import Path
from typing import Any

import pytest

import trainer_factories as make
from attune_contract.enums import Stage

torch = pytest.importorskip("torch", reason="torch is not installed")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: torch.cuda.is_available() is False"),
]
ROWS = make.colour_rows()
PAIRS = [{"prompt": r["prompt"], "chosen": r["completion"], "rejected": " purple"} for r in ROWS]
RATED = [{**r, "label": True} for r in ROWS] + [{**r, "completion": " purple", "label": False} for r in ROWS]
TEXTS = [{"text": r["prompt"] + r["completion"]} for r in ROWS]
LABELED = [{"text": r["prompt"], "label": r["completion"].strip()} for r in ROWS]


@pytest.mark.parametrize(
    ("method", "rows", "changes"),
    [
        pytest.param("SFT", ROWS, {"evaluation": {"metrics": [{"name": "Perplexity"}]}}, id="sft"),
        pytest.param("ContinuedPretraining", TEXTS, {}, id="pretraining"),
        pytest.param("DPO", PAIRS, {}, id="dpo"),
        pytest.param("ORPO", PAIRS, {}, id="orpo"),
        pytest.param("KTO", RATED, {}, id="kto"),
        pytest.param("Classification", LABELED, {}, id="token"),
        pytest.param("Classification", LABELED, {"classification": {"style": "Head"}}, id="head"),
    ],
)
def test_qlora_improves_on_held_out_rows_and_publishes(
    tmp_path: Path, method: str, rows: list[dict[str, Any]], changes: dict[str, Any]
) -> None:
    make.make_model(tmp_path / "model", hidden_size=64, intermediate_size=128)
    make.write_jsonl(tmp_path / "data" / "train.jsonl", rows)
    made = make.document(
        tmp_path,
        method=method,
        tuning={"type": "QLoRA", "dropout": 0.0},
        resources={"gpusPerNode": 1},
        training={"epochs": 12, "learningRate": 0.01},
        dataset={"split": {"testFraction": 0.25, "seed": 1}},
        output={"format": "Both"},
        **{"evaluation": {"metrics": None}, **changes},
    )
    (found,) = make.run_stages(made)[Stage.EVALUATE].evaluation

    assert found.delta < 0 if found.metric == "Perplexity" else found.delta > 0

"""Training and evaluation on a CUDA device. Skips itself where there is none, saying so."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import method_factories as methods
import trainer_factories as make
from attune_contract.enums import Method, MetricName, Stage

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


def trained(folder: Path, method: Method, tuning: dict[str, Any], **training: Any) -> Any:
    """A training on the first CUDA device, with what it says of itself."""
    from attune_trainer.methods.device import Device

    make.make_model(folder / "model", hidden_size=64, intermediate_size=128)  # 4-bit blocks have 64 numbers
    job = methods.job(folder, method, tuning=tuning, training={"maxSteps": 20, **training})
    place = Device("cuda:0", bf16=torch.cuda.is_bf16_supported())
    return methods.train(replace(job, device=place), folder / "saved")


@pytest.mark.parametrize("method", list(Method), ids=str)
def test_every_method_learns_over_a_4_bit_base(tmp_path: Path, method: Method) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    done, loaded = trained(tmp_path, method, {"type": "QLoRA", "rank": 8, "alpha": 16, "dropout": 0.0})
    layers = [m for m in loaded.model.modules() if type(m).__name__ == "Linear4bit"]
    adapters = [p for p in loaded.model.parameters() if p.requires_grad]
    saved = json.loads((tmp_path / "saved" / "adapter_config.json").read_text())

    assert layers
    assert {layer.weight.quant_type for layer in layers} == {"nf4"}
    assert all(layer.weight.quant_state.nested for layer in layers)  # double quantisation
    assert {p.dtype for p in adapters} == {torch.float32}
    assert done.history[-1].loss < done.history[0].loss
    assert saved["base_model_name_or_path"] == "file:///base"
    assert (tmp_path / "saved" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize("method", list(Method), ids=str)
@pytest.mark.parametrize("tuning", [{"type": "LoRA", "dropout": 0.0}, {"type": "Full"}], ids=["lora", "full"])
def test_every_method_learns_in_bfloat16(tmp_path: Path, method: Method, tuning: dict[str, Any]) -> None:
    done, _ = trained(tmp_path, method, tuning)

    assert done.settings["device"] == "cuda"
    assert done.history[-1].loss < done.history[0].loss
    assert done.figures.peak_memory_bytes == torch.cuda.max_memory_allocated(0)


def test_packed_examples_do_not_see_each_other_in_bfloat16(tmp_path: Path) -> None:
    changes = {"batchSize": 18, "maxSteps": 3}
    apart, _ = trained(tmp_path / "apart", Method.SFT, {"type": "Full"}, **changes)
    together, _ = trained(tmp_path / "together", Method.SFT, {"type": "Full"}, packing=True, **changes)

    assert methods.losses(together.history) == pytest.approx(methods.losses(apart.history), rel=2e-2)

"""Training whose model accelerate spreads over processes with FSDP2. Skips itself where it cannot, saying why.

On one GPU a lone process is told to spread its model as several would: the same code, with one shard. On CPUs
accelerate leaves FSDP out without a word, so nothing of this can be shown there; what can is in
tests/unit/trainer/test_sharding.py, with torch's own `fully_shard`.
"""

import json
import os
import subprocess
import sys
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
SPREAD_ALONE = """
import sys
from attune_trainer.methods import sharding
sharding.is_spread = lambda job: job.device.is_gpu
from attune_trainer.command import main
sys.exit(main())
"""
"""Has one process spread its model."""


def made(folder: Path, **training: Any) -> dict[str, Any]:
    """A training of all weights on one GPU a process, up to preflight."""
    make.make_model(folder / "model")
    make.write_jsonl(folder / "data" / "train.jsonl", make.colour_rows())
    document = make.document(
        folder,
        tuning={"type": "Full"},
        resources={"gpusPerNode": 1},
        training={"epochs": 10, "batchSize": 8, "learningRate": 0.005, **training},
        dataset={"split": {"testFraction": 0.25, "validationFraction": 0.34, "seed": 1}},
    )
    make.run_stages(document, [Stage.PREFLIGHT])
    return document


def train(folder: Path, document: dict[str, Any], processes: int) -> dict[str, Any]:
    """Trains under torchrun; its report."""
    (folder / "run.json").write_text(json.dumps(document))
    (folder / "train.py").write_text(SPREAD_ALONE)
    started = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    what = [str(folder / "train.py")] if processes == 1 else ["-m", "attune_trainer"]
    done = subprocess.run(
        [*started, *what, "train", "--config", str(folder / "run.json")],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    report: dict[str, Any] = json.loads((make.run_folder(folder) / "reports" / "training.json").read_text())
    return report


@pytest.mark.parametrize(
    "processes",
    [
        pytest.param(1, id="one-shard"),
        pytest.param(
            2,
            marks=pytest.mark.skipif(
                torch.cuda.device_count() < 2, reason="fewer than two CUDA devices, and NCCL wants one for each process"
            ),
            id="two-shards",
        ),
    ],
)
def test_a_model_that_is_spread_learns_saves_and_is_published_whole(tmp_path: Path, processes: int) -> None:
    document = made(tmp_path, keepBest=True)
    document["checkpoint"] = {"intervalSeconds": 0, "keep": 50}
    report = train(tmp_path, document, processes)
    folder = make.run_folder(tmp_path) / "checkpoints"
    kept = sorted((path for path in folder.iterdir() if (path / "state").is_dir()), key=lambda path: int(path.name))
    saved = json.loads((folder / str(report["figures"]["steps"]) / "config.json").read_text())

    assert report["settings"]["sharded"] or processes == 1
    assert report["history"][-1]["loss"] < report["history"][0]["loss"]
    assert kept, "it saved its state while it went on"
    assert len(list((kept[0] / "state" / "shards").iterdir())) == processes
    assert (kept[0] / "COMPLETE").is_file()
    assert saved["architectures"] == ["LlamaForCausalLM"]


def test_a_training_goes_on_from_its_shards(tmp_path: Path) -> None:
    document = made(tmp_path)
    document["checkpoint"] = {"intervalSeconds": 0, "keep": 50}
    whole = train(tmp_path, document, 1)
    folder = make.run_folder(tmp_path) / "checkpoints"
    kept = sorted(int(path.name) for path in folder.iterdir() if (path / "state").is_dir())
    for step in folder.iterdir():  # as if it had ended after its first checkpoint
        if int(step.name) != kept[0]:
            (step / "COMPLETE").unlink()
    (make.run_folder(tmp_path) / "reports" / "training.json").unlink()
    for result in make.run_folder(tmp_path).glob("results/train*"):
        result.unlink()
    parts = train(tmp_path, document, 1)

    assert parts["resumedFromStep"] == kept[0]
    losses = [[step["loss"] for step in report["history"]] for report in (whole, parts)]
    assert losses[1] == pytest.approx(losses[0], abs=2e-2)  # as far as its kernels repeat themselves

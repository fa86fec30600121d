"""The estimate against real trainings on this machine: steps exactly, peak memory within 15 %."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch.optim.optimizer import register_optimizer_step_post_hook

import trainer_factories as make
from attune_contract.enums import Stage
from attune_contract.quantities import quantity
from attune_trainer.methods.reporting import MEASURED, Stopwatch
from attune_trainer.stages import train as stages_train

pytestmark = pytest.mark.slow
RECORDED: dict[str, list[float]] = json.loads(
    (Path(__file__).parents[2] / "support" / "step_times.json").read_text(encoding="utf-8")
)
"""Seconds of the process's own time from the beginning to the end of each step, of real trainings on two cores."""
SIZES = {
    "1M": {"hidden_size": 128, "intermediate_size": 344, "num_hidden_layers": 4, "num_attention_heads": 4},
    "30M": {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 9, "num_attention_heads": 8},
    "80M": {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 11, "num_attention_heads": 12},
}
ROWS = 20


def make_model(folder: Path, size: str) -> None:
    """A random Llama of about so many parameters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make.make_tokenizer(folder)
    shape = {"vocab_size": len(tokenizer), "num_key_value_heads": 4, "max_position_embeddings": 512, **SIZES[size]}
    LlamaForCausalLM(LlamaConfig(**shape, bos_token_id=None, eos_token_id=0, pad_token_id=None)).save_pretrained(folder)


def rows() -> list[dict[str, str]]:
    """Rows of some three hundred tokens, each with a prompt of its own."""
    draw = random.Random(17)  # noqa: S311 - data for a test
    return [
        {"prompt": f"Say {n}:", "completion": "".join(draw.choice("abcdefgh ") for _ in range(450))}
        for n in range(ROWS)
    ]


def train(config: Path, environment: dict[str, str]) -> int:
    """Runs the train stage as its own process; returns its peak resident memory in bytes, from beginning to end.

    It trains below the process that watches over it, so the largest of its children is what trained.
    """
    program = (
        "import resource, sys\n"
        "from attune_trainer.command import main\n"
        "code = main(sys.argv[1:])\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)\n"
        "sys.exit(code)"
    )
    command = [sys.executable, "-c", program, "train", "--config", str(config)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("size", "tuning", "training"),
    [
        pytest.param("1M", {"type": "Full"}, {"epochs": 1.5, "batchSize": 4}, id="1M-Full"),
        pytest.param("30M", {"type": "LoRA", "dropout": 0.05}, {"maxSteps": 2, "batchSize": 8}, id="30M-LoRA-dropout"),
        pytest.param("80M", {"type": "LoRA"}, {"maxSteps": 2, "batchSize": 4}, id="80M-LoRA"),
        pytest.param("80M", {"type": "Full"}, {"maxSteps": 3, "batchSize": 2}, id="80M-Full"),
    ],
)
def test_steps_are_exact_and_memory_is_within_15_percent(
    tmp_path: Path, size: str, tuning: dict[str, Any], training: dict[str, Any]
) -> None:
    make_model(tmp_path / "model", size)
    make.write_jsonl(tmp_path / "data" / "train.jsonl", rows())
    made = make.document(tmp_path, tuning=tuning, evaluation={"metrics": [{"name": "Perplexity"}]})
    made["workload"]["training"] = {"sequenceLength": 256, "learningRate": 0.0001, **training}
    checked = make.run_stages(made, [Stage.PREFLIGHT])[Stage.PREFLIGHT]
    config = tmp_path / "run.json"
    config.write_text(json.dumps(made), encoding="utf-8")
    path = {"PYTHONPATH": os.pathsep.join(sys.path), "ATTUNE_OUTCOME_PATH": str(tmp_path / "outcome.json")}
    peak = train(config, {**os.environ, **path})
    report = json.loads((make.run_folder(tmp_path) / "reports" / "training.json").read_text(encoding="utf-8"))

    assert checked.estimate is not None
    assert checked.estimate.steps == report["figures"]["steps"]
    assert checked.estimate.tokens == pytest.approx(report["figures"]["tokens"], rel=0.02)
    assert checked.estimate.memory_per_gpu is not None
    estimated = float(quantity(checked.estimate.memory_per_gpu))
    assert estimated == pytest.approx(peak, rel=0.15), f"{estimated / 2**20:.0f} MiB, measured {peak / 2**20:.0f}"


def test_the_first_twenty_steps_tell_how_long_a_training_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A step takes a second by the trainer's clock: what else the machine does is not what is tested.
    done: list[None] = []
    monkeypatch.setattr(stages_train, "time", SimpleNamespace(monotonic=lambda: float(len(done))))
    hook = register_optimizer_step_post_hook(lambda *_: done.append(None))
    make.make_model(tmp_path / "model")
    make.write_jsonl(tmp_path / "data" / "train.jsonl", make.colour_rows())
    made = make.document(tmp_path, evaluation={"metrics": [{"name": "Perplexity"}]})
    made["workload"]["training"] = {"sequenceLength": 64, "batchSize": 8, "learningRate": 0.001, "maxSteps": 150}
    try:
        figures = make.run_stages(made, [Stage.PREFLIGHT, Stage.TRAIN])[Stage.TRAIN].training
    finally:
        hook.remove()
    history = json.loads((make.run_folder(tmp_path) / "reports" / "training.json").read_text())["history"]

    assert figures is not None
    assert figures.measured_steps == 20
    assert figures.seconds_per_step is not None
    assert figures.seconds_per_step * figures.steps == pytest.approx(history[-1]["seconds"], rel=0.25)


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_recorded_trainings_end_within_25_percent_of_what_their_first_steps_said(name: str) -> None:
    ends = RECORDED[name]
    watch = Stopwatch(iter(ends).__next__)
    for _ in ends[: MEASURED + 1]:
        watch.step()
    mean, measured = watch.mean(is_last=False)
    assert measured == MEASURED
    assert mean is not None
    assert mean * len(ends) == pytest.approx(ends[-1], rel=0.25)

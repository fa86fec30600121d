"""Tiny models, data and RunConfigs, valid by default; a test says only what differs."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from attune_contract.enums import RUN_STAGES, Stage
from attune_contract.outcome import Outcome
from attune_contract.runconfig import RunConfig

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
COLOURS = {"grass": " green", "sky": " blue", "blood": " red", "snow": " white"}
WORDS = [
    f"{size} {thing}" for thing in COLOURS for size in ("small", "big", "old", "new", "cold", "warm", "dry", "wet")
]


def colour_rows() -> list[dict[str, str]]:
    """32 prompts, four answers of one token each: what a tiny model can learn in seconds."""
    return [{"prompt": f"The {w} is", "completion": COLOURS[w.split()[1]]} for w in WORDS]


def chat_rows() -> list[dict[str, Any]]:
    """The same as conversations."""
    return [
        {
            "messages": [
                {"role": "user", "content": row["prompt"]},
                {"role": "assistant", "content": row["completion"].strip()},
            ]
        }
        for row in colour_rows()
    ]


def write_jsonl(path: Path, rows: Iterable[Any]) -> str:
    """Writes rows and returns the file's URI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return f"file://{path}"


def make_tokenizer(folder: Path, *, template: str | None = CHAT_TEMPLATE) -> Any:
    """A byte-level BPE tokenizer that knows the colours as whole words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [row["prompt"] + row["completion"] for row in colour_rows()] * 5
    inner.train_from_iterator(
        [*texts, *[c.strip() for c in COLOURS.values()] * 20, "system user assistant Name"], trainer
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|endoftext|>", additional_special_tokens=special[1:]
    )
    made.chat_template = template
    folder.mkdir(parents=True, exist_ok=True)
    made.save_pretrained(folder)
    return made


def make_model(
    folder: Path, *, family: str = "llama", template: str | None = CHAT_TEMPLATE, loud: float = 30, **shape: Any
) -> str:
    """A random model of 30 thousand parameters with its tokenizer; returns its URI.

    Args:
        folder: where to.
        family: llama, qwen2, gpt_neox, gpt2, mamba or bert (which has a head for masked words).
        template: chat template of the tokenizer.
        loud: factor of the output head. A random model's answers are too timid for adapters to turn; a pre-trained
            one's are not.
        shape: what differs in its config.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

    tokenizer = make_tokenizer(folder, template=template)
    common = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 256,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
        "pad_token_id": None,
    }
    own: dict[str, dict[str, Any]] = {
        "llama": {"num_key_value_heads": 2},
        "qwen2": {"num_key_value_heads": 2},
        "mamba": {"state_size": 4},
        "bert": {"pad_token_id": tokenizer.eos_token_id},
    }
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **{**common, **own.get(family, {}), **shape})
    made = (AutoModelForMaskedLM if family == "bert" else AutoModelForCausalLM).from_config(config)
    if not made.config.tie_word_embeddings:
        made.get_output_embeddings().weight.data.mul_(loud)
    made.save_pretrained(folder)
    return f"file://{folder}"


def workload(folder: Path, **changes: Any) -> dict[str, Any]:
    """The manifest's blocks for a run on a laptop; `changes` replaces or, for mappings, updates a block."""
    blocks: dict[str, Any] = {
        "model": {"source": f"file://{folder}/model"},
        "method": "SFT",
        "tuning": {"type": "LoRA", "rank": 8, "alpha": 16, "dropout": 0.0},
        "dataset": {"train": [f"file://{folder}/data/train.jsonl"]},
        "training": {"epochs": 2, "batchSize": 8, "learningRate": 0.01, "sequenceLength": 64, "warmupRatio": 0.0},
        "resources": {"gpusPerNode": 0, "cpu": "2"},
        "evaluation": {"metrics": [{"name": "Accuracy"}, {"name": "ExactMatch"}, {"name": "Perplexity"}]},
        "output": {"uri": f"file://{folder}/out"},
    }
    for name, change in changes.items():
        blocks[name] = {**blocks.get(name, {}), **change} if isinstance(change, dict) else change
    return blocks


def document(folder: Path, **changes: Any) -> dict[str, Any]:
    """A RunConfig as JSON, of a run on a laptop."""
    return {
        "version": "v1alpha1",
        "run": {"id": "run-1", "name": "colours", "namespace": "laptop", "stage": "Preflight", "attempt": 1},
        "workload": workload(folder, **changes),
        "runtime": {"name": "laptop"},
        "local": True,
    }


def run_stage(made: dict[str, Any], stage: Stage, environment: dict[str, str] | None = None) -> tuple[Outcome, int]:
    """Runs one stage in this process."""
    from attune_trainer.command import attempt

    return attempt(made, RunConfig.model_validate(made), stage, dict(environment or {}))


def run_stages(made: dict[str, Any], stages: Sequence[Stage] = RUN_STAGES) -> dict[Stage, Outcome]:
    """Runs stages in order; each must succeed."""
    done = {}
    for stage in stages:
        outcome, code = run_stage(made, stage)
        assert code == 0, outcome.message
        done[stage] = outcome
    return done


def run_folder(folder: Path) -> Path:
    """Where the run of `document` keeps its files."""
    return folder / "out" / "runs" / "run-1"

"""A small random model, rows for it, and the runs that the bench of the evaluation looks at."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LABELS = ("billing", "shipping", "returns", "other")
TRAIN_ROWS = 64
_WORDS = 400
_TOKENS = 1_000
_SHORTEST, _LONGEST = 10, 60  # words of a prompt
_HEARD = 2_000  # rows that the tokenizer is made of


def write_data(folder: Path, rows: int) -> None:
    """Writes train.jsonl and a test.jsonl of so many rows: a prompt of 10 to 60 words, and one of four labels."""
    made = _rows()
    folder.mkdir(parents=True)
    for name, count in (("train", TRAIN_ROWS), ("test", rows)):
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(next(made)) + "\n" for _ in range(count))


def write_model(folder: Path) -> None:
    """Saves a Llama of about two million parameters, drawn at random, with a tokenizer of its own."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_TOKENS,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made = _rows()
    inner.train_from_iterator((f"{r['prompt']}{r['completion']}" for r in (next(made) for _ in range(_HEARD))), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|endoftext|>")  # noqa: S106 - no password
    tokenizer.save_pretrained(folder)
    torch.manual_seed(17)
    shape = {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4}
    config = LlamaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=512, eos_token_id=tokenizer.eos_token_id, **shape
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def run_config(model: Path, data: Path, output: Path, run: str, tuning: str) -> dict[str, Any]:
    """The RunConfig of a run on this machine, whose training is two steps: what it learns is not looked at."""
    own = {} if tuning == "Full" else {"rank": 8, "alpha": 16}
    metrics = [{"name": name} for name in ("Accuracy", "ExactMatch", "TokenF1", "Perplexity")]
    workload = {
        "model": {"source": f"file://{model}"},
        "method": "SFT",
        "tuning": {"type": tuning, **own},
        "dataset": {"train": [f"file://{data}/train.jsonl"], "test": [f"file://{data}/test.jsonl"]},
        "training": {"maxSteps": 2, "batchSize": 8, "learningRate": 0.001, "sequenceLength": 256},
        "resources": {"gpusPerNode": 0, "cpu": "2"},
        "evaluation": {"metrics": metrics},
        "output": {"uri": f"file://{output}"},
    }
    return {
        "version": "v1alpha1",
        "run": {"id": run, "name": "bench", "namespace": "laptop", "stage": "Preflight", "attempt": 1},
        "workload": workload,
        "runtime": {"name": "laptop"},
        "local": True,
    }


def _rows() -> Iterator[dict[str, str]]:
    chosen = random.Random(17)  # noqa: S311 - rows, no secrets
    words = ["".join(chosen.choices("abcdefghijklmnoprstuvw", k=chosen.randrange(3, 9))) for _ in range(_WORDS)]
    while True:
        prompt = " ".join(chosen.choices(words, k=chosen.randrange(_SHORTEST, _LONGEST)))
        yield {"prompt": f"{prompt} =>", "completion": f" {chosen.choice(LABELS)}"}

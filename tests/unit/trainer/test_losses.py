"""Each method's losses are those of TRL or transformers on the same rows, seed and settings, step by step."""

from pathlib import Path
from typing import Any

import pytest

import method_factories as methods
import trainer_factories as make
from attune_contract.enums import Method

pytestmark = pytest.mark.slow  # torch, and TRL on top
TOLERANCE = 1e-5
LORA = {"type": "LoRA", "rank": 4, "alpha": 8, "dropout": 0.0}
FULL = {"type": "Full"}
TUNINGS = [pytest.param(LORA, id="lora"), pytest.param(FULL, id="full")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("losses")
    make.make_model(folder / "model", loud=1)
    return folder / "model"


def ours(tmp_path: Path, model: Path, method: Method, **changes: Any) -> list[float]:
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "model").symlink_to(model)
    return methods.losses(methods.train(methods.job(tmp_path, method, **changes))[0].history)


def settings(folder: Path, **more: Any) -> dict[str, Any]:
    """The manifest of `methods.job` in the words of TrainingArguments, as somebody would write it by hand."""
    return {
        "output_dir": str(folder / "theirs"),
        "max_steps": 4,
        "per_device_train_batch_size": 4,
        "learning_rate": 0.005,
        "lr_scheduler_type": "linear",
        "seed": 17,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        **more,
    }


def base(model: Path, kind: str = "AutoModelForCausalLM", **more: Any) -> Any:
    import torch
    import transformers

    return getattr(transformers, kind).from_pretrained(model, dtype=torch.float32, **more)


def tokenizer(model: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model)


def adapter(tuning: dict[str, Any], task: str = "CAUSAL_LM") -> Any:
    from peft import LoraConfig

    if tuning["type"] == "Full":
        return None
    return LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules="all-linear", task_type=task)


def logged(trainer: Any) -> list[float]:
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def same(mine: list[float], theirs: list[float]) -> None:
    assert len(mine) == len(theirs) == 4
    assert mine == pytest.approx(theirs, abs=TOLERANCE)
    assert mine[-1] != pytest.approx(mine[0], abs=1e-3), "nothing was learnt, so nothing was compared"


def strings(method: Method) -> list[dict[str, Any]]:
    """The rows as a user of TRL has them."""
    rows = methods.rows_of(method)
    if method is Method.SFT:
        return [{"prompt": r.turns[0].content, "completion": r.turns[1].content} for r in rows]
    if method is Method.KTO:
        return [
            {"prompt": r.prompt[0].content, "completion": r.completion[0].content, "label": r.desirable} for r in rows
        ]
    return [
        {"prompt": r.prompt[0].content, "chosen": r.chosen[0].content, "rejected": r.rejected[0].content} for r in rows
    ]


@pytest.mark.parametrize("tuning", TUNINGS)
def test_sft_as_trl(tmp_path: Path, model: Path, tuning: dict[str, Any]) -> None:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    theirs = SFTTrainer(
        model=base(model),
        args=SFTConfig(**settings(tmp_path), max_length=64),
        train_dataset=Dataset.from_list(strings(Method.SFT)),
        processing_class=tokenizer(model),
        peft_config=adapter(tuning),
    )

    same(ours(tmp_path, model, Method.SFT, tuning=tuning), logged(theirs))


@pytest.mark.parametrize("tuning", TUNINGS)
def test_dpo_as_trl(tmp_path: Path, model: Path, tuning: dict[str, Any]) -> None:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    theirs = DPOTrainer(
        model=base(model),
        ref_model=base(model) if tuning == FULL else None,
        args=DPOConfig(**settings(tmp_path), beta=0.3, max_length=64),
        train_dataset=Dataset.from_list(strings(Method.DPO)),
        processing_class=tokenizer(model),
        peft_config=adapter(tuning),
    )

    same(ours(tmp_path, model, Method.DPO, tuning=tuning, training={"beta": 0.3}), logged(theirs))


@pytest.mark.parametrize("tuning", TUNINGS)
def test_orpo_as_trl(tmp_path: Path, model: Path, tuning: dict[str, Any]) -> None:
    from datasets import Dataset
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    words = tokenizer(model)
    words.pad_token = words.eos_token
    theirs = ORPOTrainer(
        model=base(model),
        args=ORPOConfig(**settings(tmp_path), beta=0.3, max_length=64),
        train_dataset=Dataset.from_list(strings(Method.ORPO)),
        processing_class=words,
        peft_config=adapter(tuning),
    )

    same(ours(tmp_path, model, Method.ORPO, tuning=tuning, training={"beta": 0.3}), logged(theirs))


@pytest.mark.parametrize("tuning", TUNINGS)
def test_kto_as_trl(tmp_path: Path, model: Path, tuning: dict[str, Any]) -> None:
    import random

    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer

    rows = strings(Method.KTO)
    random.Random(17).shuffle(rows)  # noqa: S311 - the order that the seed gives; TRL takes rows as they come
    theirs = KTOTrainer(
        model=base(model),
        ref_model=base(model) if tuning == FULL else None,
        args=KTOConfig(**settings(tmp_path), beta=0.3, max_length=64, undesirable_weight=2.0),  # 12 wanted, 6 not
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer(model),
        peft_config=adapter(tuning),
    )

    same(ours(tmp_path, model, Method.KTO, tuning=tuning, training={"beta": 0.3}), logged(theirs))


@pytest.mark.parametrize("stride", [None, 5], ids=["windows-side-by-side", "windows-that-overlap"])
@pytest.mark.parametrize("tuning", TUNINGS)
def test_continued_pretraining_as_transformers(
    tmp_path: Path, model: Path, tuning: dict[str, Any], stride: int | None
) -> None:
    from peft import get_peft_model
    from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments, set_seed

    words = tokenizer(model)
    texts = [row.text for row in methods.rows_of(Method.CONTINUED_PRETRAINING)]
    ids = words("<|endoftext|>".join([*texts, ""]))["input_ids"]
    starts = range(0, len(ids), stride or 16)
    reached = next(i for i in starts if i + 16 >= len(ids))  # the first window that comes to the end is the last
    windows = [ids[i : i + 16] for i in starts if i <= reached]
    words.pad_token = words.eos_token
    set_seed(17)
    learner = base(model) if tuning == FULL else get_peft_model(base(model), adapter(tuning))
    collate = DataCollatorForLanguageModeling(words, mlm=False)

    def padded(rows: list[dict[str, Any]]) -> Any:
        batch = collate(rows)  # it takes end-of-text for padding
        batch["labels"] = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        return batch

    theirs = Trainer(
        model=learner,
        args=TrainingArguments(**settings(tmp_path, average_tokens_across_devices=True)),
        train_dataset=[{"input_ids": window} for window in windows],
        data_collator=padded,
    )
    changes = {"sequenceLength": 16, "stride": stride}

    same(ours(tmp_path, model, Method.CONTINUED_PRETRAINING, tuning=tuning, training=changes), logged(theirs))


def weighted(weights: list[float], at_last: bool) -> Any:
    """transformers' Trainer with torch's weighted cross-entropy, as its documentation shows it."""
    import torch
    from transformers import Trainer

    class Weighted(Trainer):  # type: ignore[misc]
        def compute_loss(self, model: Any, inputs: Any, **_: Any) -> Any:
            labels = inputs.pop("labels")
            outputs = model(**inputs)
            logits = outputs.logits
            if at_last:
                last = inputs["attention_mask"].sum(1) - 1
                logits = logits[torch.arange(len(last)), last]
            return torch.nn.functional.cross_entropy(logits, labels, weight=torch.tensor(weights))

    return Weighted


def padded_texts(texts: list[str], labels: list[int], model: Path) -> tuple[list[dict[str, Any]], Any]:
    from transformers import DataCollatorWithPadding

    words = tokenizer(model)
    words.pad_token = words.eos_token
    rows = [{"input_ids": words(t)["input_ids"], "labels": n} for t, n in zip(texts, labels, strict=True)]
    return rows, DataCollatorWithPadding(words)


@pytest.mark.parametrize("family", ["llama", "bert"])
@pytest.mark.parametrize("tuning", TUNINGS)
def test_a_head_as_transformers(tmp_path: Path, tuning: dict[str, Any], family: str) -> None:
    from peft import get_peft_model
    from transformers import TrainingArguments, set_seed

    make.make_model(tmp_path / "made", family=family)
    rows = methods.rows_of(Method.CLASSIFICATION)
    labels = sorted({row.label for row in rows})
    counts = [sum(row.label == label for row in rows) for label in labels]
    dataset, collator = padded_texts([r.text for r in rows], [labels.index(r.label) for r in rows], tmp_path / "made")
    set_seed(17)
    learner = base(tmp_path / "made", "AutoModelForSequenceClassification", num_labels=3)
    learner.config.pad_token_id = tokenizer(tmp_path / "made").eos_token_id
    if tuning != FULL:
        config = adapter(tuning, "SEQ_CLS")
        if family == "bert":
            config.modules_to_save = ["classifier", "pooler.dense"]  # a masked-word BERT brings no pooler
        learner = get_peft_model(learner, config)
    theirs = weighted([len(rows) / (3 * count) for count in counts], at_last=False)(
        model=learner,
        args=TrainingArguments(**settings(tmp_path)),
        train_dataset=dataset,
        data_collator=collator,
    )
    expected = logged(theirs)  # at once: BERT drops out, and draws from the same random numbers
    mine = ours(tmp_path, tmp_path / "made", Method.CLASSIFICATION, tuning=tuning, classification={"style": "Head"})

    same(mine, expected)


@pytest.mark.parametrize("tuning", TUNINGS)
def test_a_token_as_transformers(tmp_path: Path, model: Path, tuning: dict[str, Any]) -> None:
    from peft import get_peft_model
    from transformers import TrainingArguments, set_seed

    rows = methods.rows_of(Method.CLASSIFICATION)
    words = tokenizer(model)
    tokens = {label: words(f" {label}")["input_ids"] for label in {row.label for row in rows}}
    weights = [0.0] * len(words)
    for label, (token,) in tokens.items():
        weights[token] = len(rows) / (3 * sum(row.label == label for row in rows))
    texts = [f"{row.text}\nLabel:" for row in rows]
    dataset, collator = padded_texts(texts, [tokens[row.label][0] for row in rows], model)
    set_seed(17)
    learner = base(model) if tuning == FULL else get_peft_model(base(model), adapter(tuning))
    theirs = weighted(weights, at_last=True)(
        model=learner, args=TrainingArguments(**settings(tmp_path)), train_dataset=dataset, data_collator=collator
    )

    same(ours(tmp_path, model, Method.CLASSIFICATION, tuning=tuning), logged(theirs))


@pytest.mark.parametrize("method", [Method.SFT, Method.CLASSIFICATION, Method.DPO, Method.ORPO], ids=str)
def test_micro_batches_change_nothing(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, method: Method
) -> None:
    """The loss of a step is that of its whole batch. (ORPO's likelihood of wanted answers is a mean over tokens of a
    micro-batch, as TRL has it; the answers here are equally long.)"""
    from attune_trainer.methods import batches

    at_once = ours(tmp_path / "at-once", model, method, tuning=FULL)
    monkeypatch.setattr(batches, "TOKENS_ON_CPU", 1)
    in_parts = ours(tmp_path / "in-parts", model, method, tuning=FULL)

    assert in_parts == pytest.approx(at_once, abs=1e-4 if method is Method.ORPO else TOLERANCE)

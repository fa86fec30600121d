"""All four stages of every method on tiny models: it learns, and what is published can be used as its card says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import trainer_factories as make
from attune_contract.enums import MetricName, Stage
from attune_contract.outcome import MetricResult, Outcome

pytestmark = pytest.mark.slow  # each some seconds; `make unit` leaves them out

OTHER = {" green": " white", " blue": " red", " red": " green", " white": " blue"}
LOSSES = {MetricName.PERPLEXITY, MetricName.LABEL_LOG_LOSS}
FULL = {"tuning": {"type": "Full"}, "training": {"epochs": 12, "learningRate": 0.005}}
BOTH_LABEL_METRICS = {"evaluation": {"metrics": [{"name": "Accuracy"}, {"name": "LabelLogLoss"}, {"name": "MacroF1"}]}}
HEAD = {**BOTH_LABEL_METRICS, "classification": {"style": "Head"}}


def pairs() -> list[dict[str, Any]]:
    """The right colour is preferred to another one."""
    return [
        {"prompt": r["prompt"], "chosen": r["completion"], "rejected": OTHER[r["completion"]]}
        for r in make.colour_rows()
    ]


def ratings() -> list[dict[str, Any]]:
    """The right colour is wanted, another one is not."""
    return [
        {"prompt": r["prompt"], "completion": answer, "label": answer == r["completion"]}
        for r in make.colour_rows()
        for answer in (r["completion"], OTHER[r["completion"]])
    ]


def texts() -> list[dict[str, Any]]:
    return [{"text": f"{r['prompt']}{r['completion']}."} for r in make.colour_rows()]


def labels() -> list[dict[str, Any]]:
    return [{"text": r["prompt"], "label": r["completion"].strip()} for r in make.colour_rows()]


ROWS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "DPO": pairs,
    "ORPO": pairs,
    "KTO": ratings,
    "ContinuedPretraining": texts,
    "Classification": labels,
}


def prepared(folder: Path, method: str, *, family: str = "llama", **changes: Any) -> dict[str, Any]:
    make.make_model(folder / "model", family=family)
    make.write_jsonl(folder / "data" / "train.jsonl", ROWS[method]())
    metrics = changes.pop("evaluation", {"metrics": None})
    training = {"epochs": 8, "learningRate": 0.01, **changes.pop("training", {})}
    split = {"split": {"testFraction": 0.25, "seed": 1}}
    return make.document(folder, method=method, dataset=split, evaluation=metrics, training=training, **changes)


def figures(outcome: Outcome) -> dict[MetricName, MetricResult]:
    return {result.metric: result for result in outcome.evaluation}


def predictions(folder: Path) -> list[dict[str, Any]]:
    text = (make.run_folder(folder) / "reports" / "predictions.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("method", "family", "changes"),
    [
        pytest.param("DPO", "llama", {}, id="dpo-llama-lora"),
        pytest.param("DPO", "gpt_neox", FULL, id="dpo-gptneox-full"),
        pytest.param("ORPO", "qwen2", {}, id="orpo-qwen2-lora"),
        pytest.param("ORPO", "llama", FULL, id="orpo-llama-full"),
        pytest.param("KTO", "llama", {}, id="kto-llama-lora"),
        pytest.param("KTO", "qwen2", {**FULL, "training": {"epochs": 4, "learningRate": 0.005}}, id="kto-qwen2-full"),
        pytest.param("ContinuedPretraining", "gpt_neox", {}, id="pretraining-gptneox-lora"),
        pytest.param("ContinuedPretraining", "llama", FULL, id="pretraining-llama-full"),
        pytest.param("Classification", "qwen2", {**FULL, **BOTH_LABEL_METRICS}, id="token-qwen2-full"),
        pytest.param("Classification", "bert", {**FULL, **HEAD}, id="head-bert-full"),
        pytest.param("Classification", "llama", {**FULL, **HEAD}, id="head-llama-full"),
    ],
)
def test_every_method_improves_on_held_out_rows(
    tmp_path: Path, method: str, family: str, changes: dict[str, Any]
) -> None:
    done = make.run_stages(prepared(tmp_path, method, family=family, **changes))

    for metric, found in figures(done[Stage.EVALUATE]).items():
        better = found.delta < 0 if metric in LOSSES else found.delta > 0
        assert better, found
        assert found.low is None or found.low <= found.delta
        assert found.high is None or found.delta <= found.high
    assert len(predictions(tmp_path)) == next(iter(done[Stage.EVALUATE].evaluation)).rows
    for outcome in done.values():
        assert Outcome.loads(outcome.dumps()) == outcome


SCORES = {"DPO": {"chosen", "rejected", "margin"}, "KTO": {"logLikelihood"}, "ContinuedPretraining": {"nll", "tokens"}}


@pytest.mark.parametrize(("method", "scores"), SCORES.items(), ids=SCORES)
def test_predictions_have_the_likelihoods_of_both_models(tmp_path: Path, method: str, scores: set[str]) -> None:
    quick = {"epochs": None, "maxSteps": 2}
    made = prepared(tmp_path, method, training=quick)
    make.run_stages(made, [Stage.PREFLIGHT, Stage.TRAIN, Stage.EVALUATE])

    for row in predictions(tmp_path):
        assert row["rowID"].startswith(f"file://{tmp_path}/data/train.jsonl#")
        assert set(row["base"]) == set(row["tuned"]) == scores | {"scores"}
        assert row["base"] != row["tuned"]


@pytest.mark.parametrize("form", ["Adapter", "Merged", "Both"])
@pytest.mark.parametrize(("style", "family"), [("Token", "llama"), ("Head", "llama"), ("Head", "bert")])
def test_a_published_classifier_is_used_as_its_card_says(tmp_path: Path, form: str, style: str, family: str) -> None:
    made = prepared(
        tmp_path,
        "Classification",
        family=family,
        training={"epochs": 12},
        classification={"style": style},
        evaluation={"metrics": [{"name": "Accuracy"}]},
        output={"format": form},
    )
    make.run_stages(made)
    model = make.run_folder(tmp_path) / "model"
    entries = json.loads((model / "labels.json").read_text())

    assert [entry["label"] for entry in entries] == ["blue", "green", "red", "white"]
    assert all(("token" in entry) == (style == "Token") for entry in entries)
    for row in predictions(tmp_path)[:3]:
        assert said_by(model, tmp_path, text_of(tmp_path, row["rowID"])) == row["tuned"]["label"]


def text_of(folder: Path, row_id: str) -> str:
    line = (folder / "data" / "train.jsonl").read_text().splitlines()[int(row_id.rsplit("#", 1)[1]) - 1]
    text: str = json.loads(line)["text"]
    return text


def said_by(model: Path, folder: Path, text: str) -> str:
    """What the lines of the model card print, with a folder and a text in them."""
    lines = (model / "README.md").read_text().split("```python\n")[1].split("\n```")[0]
    for given, mine in (("path/to/this/folder", model), ("path/to/the/base", folder / "model"), ("Some text", text)):
        lines = lines.replace(given, str(mine))
    out: dict[str, Any] = {"print": lambda value: out.setdefault("said", value)}
    exec(lines, out)  # noqa: S102 - the card that this test has just made
    return str(out["said"])


def test_the_card_of_a_language_model_runs(tmp_path: Path) -> None:
    make.run_stages(prepared(tmp_path, "ContinuedPretraining", training={"epochs": None, "maxSteps": 2}))
    model = make.run_folder(tmp_path) / "model"
    card = (model / "README.md").read_text()

    assert "pipeline_tag: text-generation" in card
    assert "library_name: peft" in card
    assert "Perplexity (lower is better)" in card
    head = yaml.safe_load(card.split("---\n")[1])
    (entry,) = head["model-index"][0]["results"]
    assert [m["name"] for m in entry["metrics"]] == ["Perplexity"]
    assert "base_model" not in head, "a base in a folder has no name on a hub"
    assert said_by(model, tmp_path, "The sky").startswith("The sky")


def test_the_base_of_a_head_is_the_head_that_training_began_from(tmp_path: Path) -> None:
    """With a learning rate next to nothing tuned is base: in another draw of the head it would not be."""
    quick = {"epochs": None, "maxSteps": 1, "learningRate": 1e-12}
    made = prepared(tmp_path, "Classification", training=quick, **HEAD)
    done = make.run_stages(made, [Stage.PREFLIGHT, Stage.TRAIN, Stage.EVALUATE])
    loss = figures(done[Stage.EVALUATE])[MetricName.LABEL_LOG_LOSS]

    assert loss.tuned == pytest.approx(loss.value, abs=1e-5)


def test_the_manifests_chat_template_is_published(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    make.make_model(tmp_path / "model", template=None)
    make.write_jsonl(tmp_path / "data" / "train.jsonl", make.chat_rows())
    model = {"chatTemplate": template}
    split = {"split": {"testFraction": 0.25, "seed": 1}}
    quick = {"epochs": None, "maxSteps": 2}
    make.run_stages(make.document(tmp_path, model=model, dataset=split, training=quick))

    assert AutoTokenizer.from_pretrained(make.run_folder(tmp_path) / "model").chat_template == template


def test_what_is_published_has_the_bases_special_tokens(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    make.run_stages(prepared(tmp_path, "ContinuedPretraining", training={"epochs": None, "maxSteps": 1}))
    base, published = (
        AutoTokenizer.from_pretrained(f) for f in (tmp_path / "model", make.run_folder(tmp_path) / "model")
    )

    assert published.eos_token == base.eos_token == "<|endoftext|>"
    assert published.all_special_tokens == base.all_special_tokens


def test_the_manifest_has_labels_and_what_training_came_to(tmp_path: Path) -> None:
    quick = {"epochs": None, "maxSteps": 2}
    make.run_stages(prepared(tmp_path, "Classification", training=quick))
    manifest = json.loads((make.run_folder(tmp_path) / "manifest.json").read_text())

    assert manifest["labels"] == ["blue", "green", "red", "white"]
    assert manifest["estimate"]["actual"]["steps"] == 2
    assert manifest["estimate"]["actual"]["seconds"] > 0

"""All four stages on file:// with models made here, as on a laptop."""

import json
from pathlib import Path
from typing import Any

import pytest

import trainer_factories as make
from attune_contract.enums import RUN_STAGES, MetricName, OutcomeState, Stage
from attune_contract.outcome import MetricResult, Outcome

pytestmark = pytest.mark.slow  # together about a minute; `make unit` leaves them out

QUICK = {"epochs": None, "maxSteps": 3}
LEARNS = {"epochs": 20, "learningRate": 0.02}
TUNINGS = {
    "lora": {"training": LEARNS},
    "longer lora": {"training": {**LEARNS, "epochs": 40, "learningRate": 0.01}, "tuning": {"rank": 16, "alpha": 32}},
    "full": {"tuning": {"type": "Full"}, "training": {**LEARNS, "learningRate": 0.01}},
    "merged": {"training": LEARNS, "output": {"format": "Merged"}},
}


def prepared(folder: Path, *, family: str = "llama", chat: bool = False, **changes: Any) -> dict[str, Any]:
    make.make_model(folder / "model", family=family)
    rows: list[Any] = make.chat_rows() if chat else make.colour_rows()
    make.write_jsonl(folder / "data" / "train.jsonl", rows)
    split = {"split": {"testFraction": 0.25, "seed": 1}}
    return make.document(folder, **{"training": QUICK, "dataset": split, **changes})


def result(outcome: Outcome, name: MetricName) -> MetricResult:
    return next(r for r in outcome.evaluation if r.metric is name)


@pytest.mark.parametrize(
    ("family", "chat", "tuning"),
    [
        pytest.param("llama", False, "lora", id="llama-promptcompletion-lora"),
        pytest.param("llama", True, "full", id="llama-chat-full"),
        pytest.param("qwen2", True, "longer lora", id="qwen2-chat-lora"),
        pytest.param("qwen2", False, "full", id="qwen2-promptcompletion-full"),
        pytest.param("llama", False, "merged", id="llama-promptcompletion-merged"),
    ],
)
def test_four_stages_learn_and_publish(tmp_path: Path, family: str, chat: bool, tuning: str) -> None:
    made = prepared(tmp_path, family=family, chat=chat, **TUNINGS[tuning])
    done = make.run_stages(made)

    validation = done[Stage.PREFLIGHT].validation
    assert validation is not None
    assert (validation.rows, validation.train_rows, validation.test_rows) == (32, 24, 8)
    assert done[Stage.TRAIN].training is not None
    assert done[Stage.TRAIN].training.train_loss < 0.7
    assert result(done[Stage.EVALUATE], MetricName.ACCURACY).tuned >= 0.75
    exact = result(done[Stage.EVALUATE], MetricName.EXACT_MATCH)
    assert exact.rows == 8
    assert exact.tuned >= 0.75 > exact.value
    perplexity = result(done[Stage.EVALUATE], MetricName.PERPLEXITY)
    assert perplexity.tuned < perplexity.value
    assert (make.run_folder(tmp_path) / "manifest.json").is_file()


def test_a_published_adapter_and_a_merged_model_say_the_same(tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    make.run_stages(prepared(tmp_path, output={"format": "Both"}))
    model = make.run_folder(tmp_path) / "model"
    merged = AutoModelForCausalLM.from_pretrained(model)
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    adapted = PeftModel.from_pretrained(base, str(model / "adapter"))
    ids = AutoTokenizer.from_pretrained(model)("The big sky is", return_tensors="pt").input_ids

    assert torch.allclose(merged(ids).logits, adapted(ids).logits, atol=1e-4)
    assert json.loads((model / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == (
        f"file://{tmp_path}/model"
    )


def test_the_manifest_names_everything(tmp_path: Path) -> None:
    done = make.run_stages(prepared(tmp_path))
    manifest = json.loads((make.run_folder(tmp_path) / "manifest.json").read_text())

    published = done[Stage.PUBLISH]
    assert published.digest == next(a.digest for a in published.artifacts if a.path == "manifest.json")
    assert manifest["base"]["files"]["model.safetensors"]
    assert manifest["data"][0]["sha256"].startswith("sha256:")
    assert manifest["seeds"] == {"training": 17, "split": 1, "evaluation": 17}
    assert (manifest["reproduced"]["rows"], manifest["reproduced"]["ties"]) == (8, 0)
    assert manifest["evaluation"]["verdict"] == "Passed"
    assert {a["path"] for a in manifest["artifacts"]} >= {
        "data/train.parquet",
        "data/test.parquet",
        "reports/validation.json",
        "reports/training.json",
        "reports/evaluation.json",
        "reports/predictions.jsonl",
    }
    assert set(manifest["model"]["files"]) >= {"adapter_model.safetensors", "tokenizer.json", "README.md"}
    assert "torch" in manifest["versions"]


def test_every_outcome_fits_a_termination_message(tmp_path: Path) -> None:
    for outcome in make.run_stages(prepared(tmp_path)).values():
        assert Outcome.loads(outcome.dumps()) == outcome


def test_a_stage_that_is_complete_is_reported_again_without_work(tmp_path: Path) -> None:
    made = prepared(tmp_path)
    first = make.run_stages(made)
    before = {p: p.stat().st_mtime_ns for p in make.run_folder(tmp_path).rglob("*") if p.is_file()}
    again = make.run_stages({**made, "run": {**made["run"], "attempt": 2}})

    assert {p: p.stat().st_mtime_ns for p in make.run_folder(tmp_path).rglob("*") if p.is_file()} == before
    for stage in RUN_STAGES:
        assert again[stage] == first[stage].model_copy(update={"attempt": 2})


def test_a_stage_whose_artifact_is_gone_is_done_again(tmp_path: Path) -> None:
    made = prepared(tmp_path)
    make.run_stages(made, [Stage.PREFLIGHT])
    data = make.run_folder(tmp_path) / "data" / "train.parquet"
    data.unlink()
    make.run_stages(made, [Stage.PREFLIGHT])

    assert data.is_file()


def test_the_same_seed_gives_the_same_losses(tmp_path: Path) -> None:
    histories = []
    for name in ("a", "b"):
        make.run_stages(prepared(tmp_path / name), [Stage.PREFLIGHT, Stage.TRAIN])
        report = json.loads((make.run_folder(tmp_path / name) / "reports" / "training.json").read_text())
        histories.append([point["loss"] for point in report["history"]])

    assert histories[0] == histories[1]


@pytest.mark.parametrize(
    ("changed", "stage", "names"),
    [
        pytest.param("data/train.parquet", Stage.TRAIN, "train.parquet", id="data-before-training"),
        pytest.param("data/test.parquet", Stage.EVALUATE, "test.parquet", id="held-out-rows-before-evaluation"),
        pytest.param("checkpoints/3/adapter_model.safetensors", Stage.EVALUATE, "checkpoints/3", id="checkpoint"),
        pytest.param("checkpoints/3/COMPLETE", Stage.EVALUATE, "COMPLETE", id="checkpoint-without-its-mark"),
    ],
)
def test_what_was_changed_between_stages_is_refused(tmp_path: Path, changed: str, stage: Stage, names: str) -> None:
    made = prepared(tmp_path)
    make.run_stages(made, RUN_STAGES[: RUN_STAGES.index(stage)])
    file = make.run_folder(tmp_path) / changed
    file.write_bytes(b"{}" if changed.endswith("COMPLETE") else file.read_bytes() + b" ")
    outcome, code = make.run_stage(made, stage)

    assert (code, outcome.reason) == (10, "DigestMismatch")
    assert names in outcome.message


def test_a_model_that_changed_after_preflight_is_refused(tmp_path: Path) -> None:
    made = prepared(tmp_path)
    make.run_stages(made, [Stage.PREFLIGHT])
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text() + "\n")
    outcome, code = make.run_stage(made, Stage.TRAIN)

    assert (code, outcome.reason) == (10, "DigestMismatch")
    assert "config.json" in outcome.message


@pytest.mark.parametrize(
    ("changes", "code", "reason", "says"),
    [
        pytest.param({"resources": {"gpusPerNode": 1}}, 11, "InvalidConfiguration", "CUDA", id="no-gpu"),
        pytest.param({"training": {"maxSteps": 5}}, 13, "Diverged", "/data/train.jsonl. Look at", id="diverged"),
        pytest.param(
            {"tuning": {"targetModules": ["nope"]}}, 11, "InvalidConfiguration", "q_proj", id="unknown-target-modules"
        ),
    ],
)
def test_training_that_cannot_work_says_why(
    tmp_path: Path, changes: dict[str, Any], code: int, reason: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if reason == "Diverged":
        poison_model(monkeypatch)
    made = prepared(tmp_path, **{**changes, "training": {**QUICK, **changes.get("training", {})}})
    make.run_stages(made, [Stage.PREFLIGHT])
    outcome, got = make.run_stage(made, Stage.TRAIN)

    assert (got, outcome.reason, outcome.state) == (code, reason, OutcomeState.FAILED)
    assert says in outcome.message


def poison_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss that is no number from the third step on, as an overflow in a real model gives."""
    from attune_trainer.methods import loop

    real, calls = loop.token_mean, []

    def overflowing(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
        calls.append(1)
        return real(outputs, labels, num_items_in_batch) * (float("nan") if len(calls) > 2 else 1.0)

    monkeypatch.setattr(loop, "token_mean", overflowing)


def test_a_stage_before_its_turn_names_the_one_that_is_missing(tmp_path: Path) -> None:
    outcome, code = make.run_stage(prepared(tmp_path), Stage.EVALUATE)

    assert (code, outcome.reason) == (11, "InvalidConfiguration")
    assert "Preflight stage has no complete result" in outcome.message


def test_predictions_join_base_and_tuned_by_row(tmp_path: Path) -> None:
    make.run_stages(prepared(tmp_path), [Stage.PREFLIGHT, Stage.TRAIN, Stage.EVALUATE])
    text = (make.run_folder(tmp_path) / "reports" / "predictions.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]

    assert len({row["rowID"] for row in rows}) == 8
    source = (tmp_path / "data" / "train.jsonl").read_text().splitlines()
    for row in rows:
        line = int(row["rowID"].rsplit("#", 1)[1])
        assert json.loads(source[line - 1])["completion"] == row["expected"]
        assert set(row["base"]) == set(row["tuned"]) == {"nll", "tokens", "label", "text", "scores"}


def test_labels_of_several_tokens_are_scored_by_their_likelihood(tmp_path: Path) -> None:
    rows = [{**r, "completion": r["completion"].replace("blue", "deep blue")} for r in make.colour_rows()]
    made = prepared(tmp_path, training=LEARNS)
    make.write_jsonl(tmp_path / "data" / "train.jsonl", rows)
    done = make.run_stages(made, [Stage.PREFLIGHT, Stage.TRAIN, Stage.EVALUATE])
    report = json.loads((make.run_folder(tmp_path) / "reports" / "evaluation.json").read_text())

    assert report["labelScoring"] == "summed log-likelihood per label"
    assert result(done[Stage.EVALUATE], MetricName.ACCURACY).tuned >= 0.75

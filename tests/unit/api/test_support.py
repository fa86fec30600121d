from typing import Any

import pytest

from attune_operator.api.finetunejob import FineTuneJob, FineTuneJobSpec
from attune_operator.api.support import unsupported
from tables import changed, load, resource, valid

DATA = {"train": ["s3://data/train.jsonl"]}
UNSUPPORTED: list[tuple[str, dict[str, Any], str]] = [
    ("DPO", {"method": "DPO"}, "spec.method"),
    ("ORPO", {"method": "ORPO"}, "spec.method"),
    ("KTO", {"method": "KTO"}, "spec.method"),
    ("pretraining", {"method": "ContinuedPretraining"}, "spec.method"),
    ("classification", {"method": "Classification"}, "spec.method"),
    ("QLoRA", {"tuning": {"type": "QLoRA"}}, "spec.tuning.type"),
    ("CSV", {"dataset": {"train": ["s3://data/a.jsonl", "s3://data/b.csv"]}}, "spec.dataset.train[1]"),
    ("compressed data", {"dataset": {"train": ["s3://data/a.jsonl.gz"]}}, "spec.dataset.train[0]"),
    ("data without a suffix", {"dataset": {"train": ["s3://data/a"]}}, "spec.dataset.train[0]"),
    ("a glob over all kinds", {"dataset": {"train": ["s3://data/*"]}}, "spec.dataset.train[0]"),
    ("parquet for test", {"dataset": {**DATA, "test": ["s3://data/t.parquet"]}}, "spec.dataset.test[0]"),
    ("packing", {"training": {"epochs": 1, "packing": True}}, "spec.training.packing"),
    ("beta", {"training": {"epochs": 1, "beta": 0.1}}, "spec.training.beta"),
    ("checkpoints", {"training": {"epochs": 1, "checkpoint": {}}}, "spec.training.checkpoint"),
    (
        "MacroF1",
        {"evaluation": {"metrics": [{"name": "Accuracy"}, {"name": "MacroF1"}]}},
        "spec.evaluation.metrics[1].name",
    ),
    (
        "a schema",
        {"evaluation": {"metrics": [{"name": "Accuracy", "schema": {}}]}},
        "spec.evaluation.metrics[0].schema",
    ),
    (
        "a pattern",
        {"evaluation": {"metrics": [{"name": "ExactMatch", "pattern": "x"}]}},
        "spec.evaluation.metrics[0].pattern",
    ),
    (
        "a prompted base",
        {"evaluation": {"baselines": [{"name": "base", "fewShot": 2}]}},
        "spec.evaluation.baselines[0]",
    ),
    (
        "another baseline",
        {"evaluation": {"baselines": [{"name": "old", "source": "s3://models/o"}]}},
        "spec.evaluation.baselines[0]",
    ),
    ("forgetting", {"evaluation": {"forgetting": {"dataset": ["s3://data/g.jsonl"]}}}, "spec.evaluation.forgetting"),
    (
        "a gate",
        {
            "evaluation": {
                "metrics": [{"name": "Accuracy"}],
                "gate": {"require": [{"metric": "Accuracy", "minimum": 0.8}]},
            }
        },
        "spec.evaluation.gate.require",
    ),
    ("registration", {"output": {"uri": "s3://models/o", "register": "router"}}, "spec.output.register"),
    ("a budget", {"budget": {"maxCost": "1"}}, "spec.budget"),
    ("an empty budget", {"budget": {}}, "spec.budget"),
    ("a queue", {"queue": {"name": "team-a"}}, "spec.queue"),
]
SUPPORTED: list[tuple[str, dict[str, Any]]] = [
    ("the least", {}),
    ("full tuning", {"tuning": {"type": "Full"}}),
    ("chats", {"dataset": {**DATA, "format": "Chat"}}),
    ("prompt and completion", {"dataset": {**DATA, "format": "PromptCompletion", "columns": {"prompt": "question"}}}),
    ("a prefix", {"dataset": {"train": ["s3://data/all/"]}}),
    ("a glob of JSON Lines", {"dataset": {"train": ["s3://data/part-*.jsonl"]}}),
    ("steps", {"training": {"maxSteps": 5, "weightDecay": 0.1, "scheduler": "Linear"}}),
    ("several nodes", {"resources": {"nodes": 4, "gpusPerNode": 8}}),
    ("all three metrics", {"evaluation": {"metrics": [{"name": n} for n in ("Accuracy", "ExactMatch", "Perplexity")]}}),
    ("the base named", {"evaluation": {"baselines": [{"name": "base"}]}}),
    ("a gate without requirements", {"evaluation": {"gate": {}}}),
    ("both formats of output", {"output": {"uri": "s3://models/o", "format": "Both"}}),
    ("approval", {"approval": "Required", "approved": True}),
    ("retries and a pause", {"retryLimit": 0, "suspend": True}),
]


def spec(change: dict[str, Any]) -> FineTuneJobSpec:
    run, found = FineTuneJob.parse(resource("FineTuneJob", changed(valid("FineTuneJob"), change)))
    assert found == ()
    return run.spec


@pytest.mark.parametrize(("change", "path"), [u[1:] for u in UNSUPPORTED], ids=[u[0] for u in UNSUPPORTED])
def test_a_field_that_is_not_acted_on_is_named_and_never_ignored(change: dict[str, Any], path: str) -> None:
    found = unsupported(spec(change))
    assert [p.path for p in found] == [path]
    assert "does not act on" in found[0].message
    assert "; " in found[0].message, "says what to use instead"


@pytest.mark.parametrize("change", [s[1] for s in SUPPORTED], ids=[s[0] for s in SUPPORTED])
def test_a_field_that_is_acted_on_is_let_through(change: dict[str, Any]) -> None:
    assert unsupported(spec(change)) == []


def test_all_fields_of_the_design_s_manifest_that_are_not_acted_on_are_told_at_once() -> None:
    run, _ = FineTuneJob.parse(load("design.yaml"))
    assert [p.path for p in unsupported(run.spec)] == [
        "spec.training.packing",
        "spec.training.beta",
        "spec.training.checkpoint",
        "spec.evaluation.metrics[1].name",
        "spec.evaluation.metrics[2].name",
        "spec.evaluation.baselines[1]",
        "spec.evaluation.forgetting",
        "spec.evaluation.gate.require",
        "spec.output.register",
        "spec.budget",
        "spec.queue",
    ]

from typing import Any

import pytest

from attune_contract.enums import Method
from attune_contract.uris import SUPPORTED_DATA_SUFFIXES
from attune_operator.api.finetunejob import FineTuneJob, FineTuneJobSpec
from attune_operator.api.support import unsupported
from tables import changed, load, resource, valid

DATA = {"train": ["s3://data/train.jsonl"]}
UNSUPPORTED: list[tuple[str, dict[str, Any], str]] = [
    ("data without a suffix", {"dataset": {"train": ["s3://data/a"]}}, "spec.dataset.train[0]"),
    ("a glob over all kinds", {"dataset": {"train": ["s3://data/*"]}}, "spec.dataset.train[0]"),
    ("a spreadsheet for test", {"dataset": {**DATA, "test": ["s3://data/t.xlsx"]}}, "spec.dataset.test[0]"),
    ("beta for SFT", {"training": {"epochs": 1, "beta": 0.1}}, "spec.training.beta"),
    (
        "log loss of answers",
        {"evaluation": {"metrics": [{"name": "Accuracy"}, {"name": "LabelLogLoss"}]}},
        "spec.evaluation.metrics[1].name",
    ),
    (
        "accuracy of pairs",
        {"method": "DPO", "evaluation": {"metrics": [{"name": "Accuracy"}]}},
        "spec.evaluation.metrics[0].name",
    ),
    (
        "perplexity of labels",
        {"method": "Classification", "evaluation": {"metrics": [{"name": "Accuracy"}, {"name": "Perplexity"}]}},
        "spec.evaluation.metrics[1].name",
    ),
    (
        "general text of a spreadsheet",
        {"evaluation": {"forgetting": {"dataset": ["s3://data/g.xlsx"]}}},
        "spec.evaluation.forgetting.dataset[0]",
    ),
]
SUPPORTED: list[tuple[str, dict[str, Any]]] = [
    ("the least", {}),
    *((method, {"method": method}) for method in Method),
    ("full tuning", {"tuning": {"type": "Full"}}),
    ("QLoRA", {"tuning": {"type": "QLoRA"}}),
    ("packing", {"training": {"epochs": 1, "packing": True}}),
    ("beta for KTO", {"method": "KTO", "training": {"epochs": 1, "beta": 0.2}}),
    ("scores", {"method": "KTO", "dataset": {**DATA, "rating": {"desirableFrom": 3.5}}}),
    ("windows that overlap", {"method": "ContinuedPretraining", "training": {"epochs": 1, "stride": 1024}}),
    ("labels by a head", {"method": "Classification", "classification": {"style": "Head", "labels": ["a", "b"]}}),
    ("log loss of labels", {"method": "Classification", "evaluation": {"metrics": [{"name": "LabelLogLoss"}]}}),
    ("margins of pairs", {"method": "ORPO", "evaluation": {"metrics": [{"name": "PreferenceMargin"}]}}),
    ("warnings as errors", {"dataset": {**DATA, "strict": ["leakage", "secrets"]}}),
    ("a chat template", {"model": {"source": "s3://models/base", "chatTemplate": "{{ messages }}"}}),
    ("a budget", {"budget": {"maxCost": "1", "maxDuration": "2h"}}),
    *((f"{kind} files", {"dataset": {"train": [f"s3://data/a{kind}"]}}) for kind in SUPPORTED_DATA_SUFFIXES),
    ("chats", {"dataset": {**DATA, "format": "Chat"}}),
    ("prompt and completion", {"dataset": {**DATA, "format": "PromptCompletion", "columns": {"prompt": "question"}}}),
    ("a prefix", {"dataset": {"train": ["s3://data/all/"]}}),
    ("a glob of JSON Lines", {"dataset": {"train": ["s3://data/part-*.jsonl"]}}),
    ("steps", {"training": {"maxSteps": 5, "weightDecay": 0.1, "scheduler": "Linear"}}),
    ("several nodes", {"resources": {"nodes": 4, "gpusPerNode": 8}}),
    ("all three metrics", {"evaluation": {"metrics": [{"name": n} for n in ("Accuracy", "ExactMatch", "Perplexity")]}}),
    ("the base named", {"evaluation": {"baselines": [{"name": "base"}]}}),
    ("a gate without requirements", {"evaluation": {"gate": {}}}),
    ("a prompted base", {"evaluation": {"baselines": [{"name": "prompted", "fewShot": 2}]}}),
    ("another model", {"evaluation": {"baselines": [{"name": "old", "source": "s3://models/o"}]}}),
    ("forgetting", {"evaluation": {"forgetting": {"dataset": ["s3://data/g.jsonl"], "maxTokenKL": 0.1}}}),
    ("slices", {"evaluation": {"slices": ["language"], "allowLeakage": True}}),
    ("the best checkpoint", {"training": {"epochs": 1, "keepBest": True, "earlyStopping": {"patience": 2}}}),
    ("F1 of labels", {"method": "Classification", "evaluation": {"metrics": [{"name": "MacroF1"}]}}),
    (
        "a gate",
        {
            "evaluation": {
                "metrics": [{"name": "Accuracy"}],
                "gate": {"require": [{"metric": "Accuracy", "minimum": 0.8}]},
            }
        },
    ),
    *(
        (f"{name}", {"evaluation": {"metrics": [{"name": name, **more}]}})
        for name, more in (
            ("MacroF1", {}),
            ("TokenF1", {}),
            ("ROUGE-L", {}),
            ("BLEU", {}),
            ("chrF", {}),
            ("JSONValid", {"schema": {"type": "object"}}),
            ("RegexMatch", {"pattern": "a+"}),
            ("HumanPreference", {"ratings": "s3://data/votes.jsonl"}),
        )
    ),
    ("registration", {"output": {"uri": "s3://models/o", "register": "router"}}),
    ("both formats of output", {"output": {"uri": "s3://models/o", "format": "Both"}}),
    ("approval", {"approval": "Required", "approved": True}),
    ("checkpoints", {"training": {"epochs": 1, "checkpoint": {"interval": "5m", "keep": 3}}}),
    ("a queue", {"queue": {"name": "team-a", "priorityClass": "production"}}),
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
        "spec.training.beta",
    ]

"""What a stage refuses before it does anything: each field with a sentence, all at once."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import trainer_factories as make
from attune_contract.enums import Stage
from attune_contract.runconfig import RunConfig
from attune_trainer import support
from attune_trainer.errors import InvalidConfigurationError

DEFAULT_METRICS: dict[str, Any] = {"evaluation": {"metrics": None}}
PRETRAINING: dict[str, Any] = {"method": "ContinuedPretraining", **DEFAULT_METRICS}
DPO: dict[str, Any] = {"method": "DPO", **DEFAULT_METRICS}
KTO: dict[str, Any] = {"method": "KTO", **DEFAULT_METRICS}
CLASSIFICATION: dict[str, Any] = {"method": "Classification", **DEFAULT_METRICS}
FORGETTING = {"forgetting": {"dataset": ["s3://general/x.jsonl"], "maxTokenKL": 0.1}}
GPU = {"resources": {"gpusPerNode": 1}}


def config(**changes: Any) -> RunConfig:
    return RunConfig.model_validate(make.document(Path("/laptop"), **changes))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="sft"),
        pytest.param({"training": {"packing": True}}, id="sft-packed"),
        pytest.param({**PRETRAINING, "training": {"stride": 64}}, id="pretraining-with-stride"),
        pytest.param({**DPO, "training": {"beta": 0.2}}, id="dpo-with-beta"),
        pytest.param({**KTO, "dataset": {"rating": {"desirableFrom": 3}, "format": "Rated"}}, id="kto-with-scores"),
        pytest.param({**CLASSIFICATION, "classification": {"style": "Head", "labels": ["a", "b"]}}, id="head"),
        pytest.param({"tuning": {"type": "QLoRA"}, **GPU}, id="qlora-on-a-gpu"),
        pytest.param({"output": {"format": "Both"}}, id="lora-both"),
        pytest.param({"evaluation": FORGETTING}, id="forgetting"),
        pytest.param({"evaluation": {"slices": ["language"], "allowLeakage": True}}, id="slices"),
        pytest.param({"evaluation": {"baselines": [{"name": "k", "fewShot": 2}]}}, id="prompted"),
        pytest.param({"evaluation": {"baselines": [{"name": "old", "source": "s3://m/old"}]}}, id="another-model"),
        pytest.param({"evaluation": {"gate": {"require": [{"metric": "Accuracy", "minimum": 0.9}]}}}, id="gate"),
        pytest.param({"training": {"keepBest": True, "earlyStopping": {"patience": 2}}}, id="keep-best"),
    ],
)
def test_what_this_version_can_do(changes: dict[str, Any]) -> None:
    support.demand(config(**changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param(
            {"method": "DPO"},
            "spec.evaluation.metrics[0]: Accuracy is not measured for DPO in this version; use PreferenceMargin.",
            id="metric-of-another-method",
        ),
        pytest.param(
            {"evaluation": {"metrics": [{"name": "LabelLogLoss"}]}},
            "LabelLogLoss is not measured for SFT in this version; use Accuracy, BLEU, ExactMatch",
            id="metric-of-labels",
        ),
        pytest.param(
            {"evaluation": {"metrics": [{"name": "BLEU"}, {"name": "BLEU"}]}},
            "BLEU may be there once",
            id="metric-twice",
        ),
        pytest.param(
            {"evaluation": {"metrics": [{"name": "BLEU", "schema": {}}]}},
            "spec.evaluation.metrics[0].schema belongs to JSONValid",
            id="schema-of-bleu",
        ),
        pytest.param(
            {"evaluation": {"metrics": [{"name": "RegexMatch"}]}},
            "spec.evaluation.metrics[0].pattern belongs to RegexMatch, which needs it.",
            id="no-pattern",
        ),
        pytest.param(
            {"evaluation": {"metrics": [{"name": "HumanPreference"}]}},
            "spec.evaluation.metrics[0].ratings belongs to HumanPreference, which needs it.",
            id="no-ratings",
        ),
        pytest.param(
            {**DPO, "training": {"packing": True}}, "spec.training.packing: DPO does not pack", id="packed-pairs"
        ),
        pytest.param(
            {**PRETRAINING, "training": {"packing": True}},
            "spec.training.packing: ContinuedPretraining fills its windows by itself; leave it out.",
            id="packed-windows",
        ),
        pytest.param({"training": {"beta": 0.1}}, "spec.training.beta: the loss of SFT has none", id="beta-of-sft"),
        pytest.param({"training": {"stride": 8}}, "spec.training.stride is for ContinuedPretraining", id="stride"),
        pytest.param(
            {**PRETRAINING, "training": {"stride": 65}},
            "spec.training.stride: 65 is more than sequenceLength (64)",
            id="stride-with-gaps",
        ),
        pytest.param(
            {"classification": {"style": "Token"}}, "spec.classification is for method Classification", id="no-labels"
        ),
        pytest.param(
            {**CLASSIFICATION, "classification": {"labels": ["a"]}},
            "spec.classification.labels: with one label",
            id="one-label",
        ),
        pytest.param(
            {**CLASSIFICATION, "classification": {"labels": ["b", "a", "b"]}},
            "spec.classification.labels: b is there more than once.",
            id="a-label-twice",
        ),
        pytest.param({"tuning": {"type": "QLoRA"}}, "spec.tuning.type: QLoRA needs a GPU", id="qlora-on-cpu"),
        pytest.param(
            {"tuning": {"type": "Full"}, "output": {"format": "Both"}}, "Full tuning makes none", id="full-adapter"
        ),
        pytest.param(
            {**DPO, "dataset": {"format": "Chat"}}, "spec.dataset.format: DPO does not read Chat", id="format"
        ),
        pytest.param(
            {"dataset": {"format": "Text"}}, "use Chat or PromptCompletion, or Auto.", id="format-says-which-do"
        ),
        pytest.param({"dataset": {"rating": {"desirableFrom": 1}}}, "spec.dataset.rating is for KTO", id="rating"),
        pytest.param({"training": {"maxSteps": 5}}, "exactly one of epochs and maxSteps", id="both-lengths"),
        pytest.param(
            {**CLASSIFICATION, "classification": {"style": "Head"}, "evaluation": {"metrics": None, **FORGETTING}},
            "spec.evaluation.forgetting: a model with classification.style Head",
            id="head-that-forgets",
        ),
        pytest.param(
            {**PRETRAINING, "evaluation": {"metrics": None, "baselines": [{"name": "prompted", "fewShot": 2}]}},
            "ContinuedPretraining has no prompts",
            id="prompted-documents",
        ),
        pytest.param(
            {"evaluation": {"baselines": [{"name": "base", "fewShot": 2}]}},
            "base must be base, which is",
            id="prompted-base",
        ),
        pytest.param({"evaluation": {"baselines": [{"name": "old"}]}}, "old must be base, which is", id="base-renamed"),
        pytest.param(
            {"evaluation": {"gate": {"require": [{"metric": "BLEU", "minimum": 9}]}}},
            "spec.evaluation.gate.require[0].metric: BLEU is not among spec.evaluation.metrics",
            id="gate-on-what-is-not-measured",
        ),
        pytest.param(
            {"evaluation": {"gate": {"require": [{"metric": "Accuracy", "minimum": 1, "over": "old"}]}}},
            "spec.evaluation.gate.require[0].over: old is not among spec.evaluation.baselines",
            id="gate-over-what-is-not-compared",
        ),
        pytest.param(
            {"evaluation": {"gate": {"require": [{"metric": "Accuracy"}]}}},
            "spec.evaluation.gate.require[0] sets no bar",
            id="gate-without-a-bar",
        ),
        pytest.param(
            {"training": {"earlyStopping": {}}}, "earlyStopping needs keepBest: true", id="stopping-by-nothing"
        ),
        pytest.param(
            {"training": {"keepBest": True}, "dataset": {"split": {"validationFraction": 0}}},
            "spec.dataset.split.validationFraction must be above 0",
            id="best-by-nothing",
        ),
    ],
)
def test_what_it_cannot_do_is_refused_with_the_field(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidConfigurationError) as caught:
        support.demand(config(**changes))

    assert says in str(caught.value)


OVER_CHAMPION = {"gate": {"require": [{"metric": "Accuracy", "minImprovement": 0.1, "over": "champion"}]}}


@pytest.mark.parametrize(
    ("stage", "register", "can"),
    [
        pytest.param(Stage.PREFLIGHT, "router", True, id="who-evaluates-is-given-it"),
        pytest.param(Stage.PREFLIGHT, None, False, id="of-no-model"),
        pytest.param(Stage.EVALUATE, "router", False, id="who-evaluates-was-not-given-it"),
    ],
)
def test_the_champion_is_compared_without_being_listed(stage: Stage, register: str | None, can: bool) -> None:
    made = config(evaluation=OVER_CHAMPION, output={"register": register} if register else {})
    made = made.model_copy(update={"run": made.run.model_copy(update={"stage": stage})})
    with nullcontext() if can else pytest.raises(InvalidConfigurationError, match="champion is not among"):
        support.demand(made)


def test_everything_is_said_at_once() -> None:
    made = config(method="DPO", training={"packing": True, "stride": 8}, tuning={"type": "QLoRA"})
    with pytest.raises(InvalidConfigurationError) as caught:
        support.demand(made)

    for field in ("metrics[0]", "metrics[1]", "metrics[2]", "packing", "stride", "tuning.type"):
        assert field in str(caught.value)

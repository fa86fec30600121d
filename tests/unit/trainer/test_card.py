"""The model card: what a hub reads of it, and what a person does."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import trainer_factories as make
from attune_contract.runconfig import RunConfig
from attune_trainer.publishing import card

RESULT = {"metric": "BLEU", "definition": "Corpus BLEU.", "baseline": "base", "value": 10.0, "tuned": 31.5}
FIGURES = {"delta": 21.5, "low": 18.0, "high": 25.0, "rows": 96}
EVALUATION = {
    "verdict": "Passed",
    "sentence": "BLEU 31.5 is 21.5 over base.",
    "notices": ["2 of the 96 held-out rows were learnt."],
    "confidence": 0.95,
    "results": [
        {**RESULT, **FIGURES},
        {**RESULT, **FIGURES, "baseline": "prompted", "value": 20.0},
        {**RESULT, **FIGURES, "slice": "language=a|b", "tuned": 7.5, "rows": 12},
    ],
    "metrics": {"BLEU": {"computedBy": "sacrebleu 2.6.0", "signature": "nrefs:1|tok:13a", "normalization": "13a"}},
    "forgetting": {
        "ratio": 1.02,
        "tunedPerplexity": 10.2,
        "basePerplexity": 10.0,
        "meanTokenKL": 0.01,
        "tokens": 9,
        "rows": 4,
    },
}


def rendered(source: str = "hf://org/base@main", evaluation: dict[str, Any] = EVALUATION, **changes: Any) -> str:
    made = make.document(Path("/x"), model={"source": source}, **changes)
    training = {"figures": {"steps": 3, "tokens": 900, "epochs": 1.0, "trainLoss": 0.5}}
    return card.render(RunConfig.model_validate(made), (), {"evaluation": evaluation, "training": training})


def head(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


@pytest.mark.parametrize(
    ("source", "form", "expected"),
    [
        pytest.param("hf://org/base@main", "Adapter", ("org/base", "adapter", "peft"), id="adapter-of-the-hub"),
        pytest.param("hf://org/base", "Merged", ("org/base", "finetune", "transformers"), id="merged-of-the-hub"),
        pytest.param("s3://models/base", "Adapter", (None, None, "peft"), id="of-a-store"),
    ],
)
def test_hubs_find_base_and_library(source: str, form: str, expected: tuple[str | None, ...]) -> None:
    found = head(rendered(source, output={"format": form}))

    assert (found.get("base_model"), found.get("base_model_relation"), found["library_name"]) == expected


def test_hubs_read_the_tuned_models_figures_over_all_rows() -> None:
    (entry,) = head(rendered())["model-index"][0]["results"]

    assert entry["metrics"] == [{"type": "bleu", "name": "BLEU", "value": 31.5}]


@pytest.mark.parametrize(
    "line",
    [
        "> 2 of the 96 held-out rows were learnt.",
        "| BLEU | prompted | 20 | 31.5 | +21.5 (18 to 25) | 96 |",
        "- BLEU: Corpus BLEU. (computed by sacrebleu 2.6.0; normalisation: nrefs:1|tok:13a)",
        "| language=a\\|b | BLEU | base | 10 | 7.5 | 12 |",
        "Perplexity 10.2, of the base 10 (ratio 1.02), over 9 tokens of 4 texts. Mean token KL to the base: 0.01 nats.",
    ],
    ids=["notice", "baseline", "definition", "slice", "forgetting"],
)
def test_people_read_how_good_it_is_and_how_that_was_taken(line: str) -> None:
    assert line in rendered().splitlines()


def test_what_was_not_asked_for_is_not_there() -> None:
    text = rendered(evaluation={**EVALUATION, "results": EVALUATION["results"][:1], "forgetting": None})

    assert "## General text" not in text
    assert "part of the rows" not in text

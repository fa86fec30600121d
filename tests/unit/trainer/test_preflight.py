"""Preflight as a whole: what is missing is named all at once, what is broken is reported, and the report is written."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import trainer_factories as make
from attune_contract.enums import OutcomeState, Stage
from attune_trainer.data import canonical
from attune_trainer.storage.retry import Retry
from tiny_s3 import Behaviour, serving

MODEL_FILES = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": b"x"}


@pytest.fixture
def laptop(tmp_path: Path, tokenizer: Any) -> Path:
    """A folder with a model (its weights are never read here) and data."""
    model = tmp_path / "model"
    model.mkdir()
    tokenizer.save_pretrained(model)
    (model / "config.json").write_text(json.dumps({"model_type": "llama", "max_position_embeddings": 256}))
    (model / "model.safetensors").write_bytes(b"")
    make.write_jsonl(tmp_path / "data" / "train.jsonl", make.colour_rows())
    return tmp_path


def preflight(made: dict[str, Any]) -> tuple[Any, int]:
    return make.run_stage(made, Stage.PREFLIGHT)


def test_good_data_is_accepted_and_its_lineage_recorded(laptop: Path) -> None:
    outcome, code = preflight(make.document(laptop))
    report = json.loads((make.run_folder(laptop) / "reports" / "validation.json").read_text())

    assert code == 0
    assert [a.path for a in outcome.artifacts] == [
        "data/train.parquet",
        "data/test.parquet",
        "reports/validation.json",
    ]
    assert report["data"][0]["sha256"].startswith("sha256:")
    assert report["data"][0]["rows"] == 32
    assert report["errors"] == []


def test_one_bad_row_fails_and_the_report_has_it(laptop: Path) -> None:
    rows = [*make.colour_rows(), {"prompt": "x"}]
    make.write_jsonl(laptop / "data" / "train.jsonl", rows)
    outcome, code = preflight(make.document(laptop))
    report = json.loads((make.run_folder(laptop) / "reports" / "validation.json").read_text())

    assert (code, outcome.state, outcome.reason) == (10, OutcomeState.FAILED, "InvalidData")
    assert outcome.message == (
        "1 of 33 rows cannot be used (spec.dataset.maxInvalidFraction admits 0); problems: missing_column 1. The "
        f"first: file://{laptop}/data/train.jsonl line 33, completion: there is no 'completion' (the row has: prompt). "
        f"All of them: {outcome.report_uri}"
    )
    assert [(e["code"], e["line"], e["field"]) for e in report["errors"]] == [("missing_column", 33, "completion")]
    assert outcome.validation.errors[0].code == "missing_column"
    assert not (make.run_folder(laptop) / "data").exists()


@pytest.mark.parametrize(
    ("bad", "allowed", "code"),
    [
        pytest.param(3, 0.1, 0, id="under-the-share"),
        pytest.param(3, 0.05, 10, id="over-the-share"),
        pytest.param(0, 0.0, 0, id="none"),
    ],
)
def test_a_share_of_bad_rows_may_be_dropped(laptop: Path, bad: int, allowed: float, code: int) -> None:
    make.write_jsonl(laptop / "data" / "train.jsonl", [*make.colour_rows(), *["bad"] * bad])
    outcome, got = preflight(
        make.document(laptop, dataset={"maxInvalidFraction": allowed, "train": [f"file://{laptop}/data/"]})
    )

    assert got == code
    assert outcome.validation.invalid_rows == bad
    assert outcome.validation.train_rows + outcome.validation.test_rows == 32


@pytest.mark.parametrize(
    ("train", "says"),
    [
        pytest.param("none.jsonl", "no such file", id="file"),
        pytest.param("none/", "nothing there ends in .jsonl", id="prefix"),
        pytest.param("*.csv", ".parquet or .txt (also .gz, .zst)", id="glob"),
    ],
)
def test_data_that_is_not_there_is_an_error_of_the_data(laptop: Path, train: str, says: str) -> None:
    uri = f"file://{laptop}/data/{train}"
    outcome, code = preflight(make.document(laptop, dataset={"train": [f"file://{laptop}/data/train.jsonl", uri]}))

    assert (code, outcome.reason) == (10, "InvalidData")
    error = outcome.validation.errors[0]
    assert (error.code, error.file) == ("object_not_found", uri)
    assert error.message.startswith("spec.dataset.train[1]: ")
    assert says in error.message


def remove(name: str) -> Callable[[Path], None]:
    return lambda model: (model / name).unlink()


def rename(old: str, new: str) -> Callable[[Path], None]:
    return lambda model: (model / old).rename(model / new)  # type: ignore[return-value]


def config(**more: Any) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        (model / "config.json").write_text(json.dumps({"model_type": "llama", **more}))

    return change


def index(model: Path) -> None:
    weights = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(weights))
    (model / "model.safetensors").rename(model / "model-00001-of-00002.safetensors")


def damage(model: Path) -> None:
    (model / "tokenizer.json").write_text("{")


@pytest.mark.parametrize(
    ("change", "code", "reason", "says"),
    [
        pytest.param(remove("config.json"), 20, "ModelNotFound", "config.json is missing", id="no-config"),
        pytest.param(remove("model.safetensors"), 20, "ModelNotFound", "there are no weights", id="no-weights"),
        pytest.param(
            rename("model.safetensors", "pytorch_model.bin"), 11, "InvalidConfiguration", "pickles", id="pickles"
        ),
        pytest.param(
            index, 20, "ModelNotFound", "model-00002-of-00002.safetensors is missing", id="a-shard-is-missing"
        ),
        pytest.param(config(auto_map={}), 11, "InvalidConfiguration", "trustRemoteCode", id="remote-code"),
        pytest.param(remove("tokenizer.json"), 10, "InvalidData", "tokenizer_missing", id="no-tokenizer"),
        pytest.param(damage, 10, "InvalidData", "tokenizer_missing", id="damaged-tokenizer"),
    ],
)
def test_a_model_that_cannot_be_used(
    laptop: Path, change: Callable[[Path], None], code: int, reason: str, says: str
) -> None:
    change(laptop / "model")
    outcome, got = preflight(make.document(laptop))

    assert (got, outcome.reason) == (code, reason), outcome.message
    assert says in outcome.message


def test_rows_are_cut_at_what_the_model_has_positions_for(laptop: Path) -> None:
    config(max_position_embeddings=4)(laptop / "model")
    outcome, _ = preflight(make.document(laptop))

    assert {error.code for error in outcome.validation.errors} == {"prompt_too_long"}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No minute of retries."""
    monkeypatch.setattr(Retry, "patience", 0.0, raising=False)
    monkeypatch.setattr(Retry.__init__, "__defaults__", (0.0, *Retry.__init__.__defaults__[1:]))  # type: ignore[index]


def in_cluster(tmp_path: Path, endpoint: str, secrets: dict[str, dict[str, str] | None]) -> dict[str, Any]:
    """A RunConfig as the operator writes it; a Secret of None does not exist."""
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": endpoint}
    fields = {"model": "spec.model", "data": "spec.dataset", "output": "spec.output"}
    credentials = {}
    for role, field in fields.items():
        folder = tmp_path / "credentials" / role
        folder.mkdir(parents=True)
        for name, value in ({} if secrets.get(role, {}) is None else keys).items():
            (folder / name).write_text(value)
        credentials[role] = {
            "secret": f"{role}-store",
            "field": f"{field}.credentialsSecret",
            "directory": str(folder),
        }
    made = make.document(
        tmp_path,
        model={"source": "s3://models/base"},
        dataset={"train": ["s3://data/train.jsonl"], "test": ["s3://data/test/*.jsonl"]},
        output={"uri": "s3://out/runs-here"},
    )
    return made | {"local": False, "credentials": credentials}


@pytest.mark.parametrize(
    ("buckets", "objects", "secrets", "reason", "names"),
    [
        pytest.param(
            ["models", "data", "out"],
            [],
            {"model": None, "data": None, "output": None},
            "SecretNotFound",
            ["Secret model-store", "Secret data-store", "Secret output-store", "spec.output.credentialsSecret"],
            id="all-secrets",
        ),
        pytest.param([], [], {}, "BucketNotFound", ["s3://models/base", "s3://data/", "s3://out/"], id="all-buckets"),
        pytest.param(["models", "data", "out"], [], {}, "ModelNotFound", ["s3://models/base"], id="model"),
        pytest.param(
            ["models", "data"], ["models"], {"data": None}, "SecretNotFound", ["data-store", "s3://out/"], id="mixed"
        ),
    ],
)
def test_what_a_person_must_provide_is_named_all_at_once(
    tmp_path: Path, buckets: list[str], objects: list[str], secrets: dict[str, Any], reason: str, names: list[str]
) -> None:
    there = {f"models/base/{n}": c for n, c in MODEL_FILES.items()} if objects else {}
    with serving(Behaviour(objects=there, buckets=set(buckets))) as endpoint:
        outcome, code = preflight(in_cluster(tmp_path, endpoint, secrets))

    assert (code, outcome.state, outcome.reason) == (20, OutcomeState.BLOCKED, reason), outcome.message
    for name in names:
        assert name in outcome.message


def test_keys_that_the_store_does_not_know(tmp_path: Path) -> None:
    with serving(Behaviour(buckets={"models", "data", "out"}, deny=True)) as endpoint:
        outcome, code = preflight(in_cluster(tmp_path, endpoint, {}))

    assert (code, outcome.state, outcome.reason) == (20, OutcomeState.BLOCKED, "AccessDenied")
    assert "InvalidAccessKeyId" in outcome.message
    assert "Secret model-store" in outcome.message


@pytest.mark.usefixtures("impatient")
def test_a_store_that_is_down_is_no_fault_of_the_manifest(tmp_path: Path) -> None:
    outcome, code = preflight(in_cluster(tmp_path, "http://127.0.0.1:9", {}))

    assert (code, outcome.state, outcome.reason) == (20, OutcomeState.FAILED, "StoreUnreachable")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"method": "DPO"}, "spec.evaluation.metrics[0]: Accuracy", id="metric-of-another-method"),
        pytest.param({"tuning": {"type": "QLoRA"}}, "spec.tuning.type: QLoRA", id="tuning"),
        pytest.param({"training": {"beta": 0.1}}, "spec.training.beta", id="beta"),
        pytest.param(
            {"evaluation": {"metrics": [{"name": "LabelLogLoss"}]}},
            "spec.evaluation.metrics[0]: LabelLogLoss",
            id="metric",
        ),
        pytest.param(
            {"tuning": {"type": "Full"}, "output": {"format": "Adapter"}}, "Full tuning makes none", id="full-adapter"
        ),
        pytest.param({"training": {"maxSteps": 5}}, "exactly one of epochs and maxSteps", id="both-lengths"),
    ],
)
def test_what_nobody_acts_on_is_refused_with_its_field(laptop: Path, changes: dict[str, Any], says: str) -> None:
    outcome, code = preflight(make.document(laptop, **changes))

    assert (code, outcome.reason) == (11, "InvalidConfiguration")
    assert says in outcome.message


def test_the_admins_prefixes_hold(laptop: Path) -> None:
    made = make.document(laptop) | {"runtime": {"name": "gpu", "allowedURIs": ["s3://team-a/"]}}
    outcome, code = preflight(made)

    assert code == 11
    for field in ("spec.model.source", "spec.output.uri", "spec.dataset.train[0]"):
        assert field in outcome.message


def test_what_people_said_is_kept_with_the_run(laptop: Path) -> None:
    """So that the manifest has its digest, as it has that of the rows."""
    document = make.document(laptop)
    assert preflight(document)[1] == 0
    row = next(iter(canonical.read(make.run_folder(laptop) / "data" / "test.parquet", canonical.SUPERVISED))).row_id
    uri = make.write_jsonl(laptop / "data" / "votes.jsonl", [{"rowID": row, "person": "ann", "prefers": "tie"}])
    outcome, code = preflight(
        make.document(laptop, evaluation={"metrics": [{"name": "HumanPreference", "ratings": uri}]})
    )

    assert code == 0, outcome.message
    assert "data/judgements.jsonl" in {artifact.path for artifact in outcome.artifacts}


def test_another_model_that_is_not_there_is_waited_for(laptop: Path) -> None:
    baselines = [{"name": "champion", "source": f"file://{laptop}/nothing"}]
    outcome, code = preflight(make.document(laptop, evaluation={"baselines": baselines}))

    assert (code, outcome.state, outcome.reason) == (20, OutcomeState.BLOCKED, "ModelNotFound")
    assert "spec.evaluation.baselines[0].source: file://" in outcome.message


def test_preflight_itself_imports_no_torch() -> None:
    code = "import sys, attune_trainer.stages.preflight; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": ":".join(sys.path)})


def test_general_text_is_left_as_documents(laptop: Path) -> None:
    (laptop / "data" / "more.txt").write_text("One fine day.")
    rows = make.write_jsonl(laptop / "data" / "general.jsonl", [{"text": f"Text {i}."} for i in range(3)])
    forgetting = {"dataset": [rows, f"file://{laptop}/data/more.txt"]}
    outcome, code = preflight(make.document(laptop, evaluation={"forgetting": forgetting}))

    assert code == 0, outcome.message
    written = make.run_folder(laptop) / "data" / "general.parquet"
    assert [row.text for row in canonical.read(written, canonical.DOCUMENT)] == [
        *(f"Text {i}." for i in range(3)),
        "One fine day.",
    ]
    assert "data/general.parquet" in {artifact.path for artifact in outcome.artifacts}


@pytest.mark.parametrize(
    ("evaluation", "says"),
    [
        pytest.param({"forgetting": {"dataset": ["{data}/nothing.txt"]}}, "nothing.txt", id="general-text-is-missing"),
        pytest.param(
            {"forgetting": {"dataset": ["{data}/train.jsonl"]}}, "missing_column 32", id="general-text-has-no-text"
        ),
        pytest.param(
            {"metrics": [{"name": "RegexMatch", "pattern": "("}]}, "spec.evaluation.metrics[0].pattern", id="regex"
        ),
        pytest.param(
            {"metrics": [{"name": "JSONValid", "schema": {"type": "thing"}}]},
            "spec.evaluation.metrics[0].schema",
            id="schema",
        ),
        pytest.param(
            {"metrics": [{"name": "HumanPreference", "ratings": "{data}/none.jsonl"}]},
            "spec.evaluation.metrics[0].ratings",
            id="judgements-are-missing",
        ),
        pytest.param(
            {"metrics": [{"name": "HumanPreference", "ratings": "{data}/votes.jsonl"}]},
            "votes.jsonl:1: rowID: there is no held-out row 'test.jsonl:1'",
            id="judgements-of-other-rows",
        ),
        pytest.param(
            {"baselines": [{"name": "champion", "source": "{data}/pickled"}]},
            "spec.evaluation.baselines[0].source",
            id="another-model-is-pickled",
        ),
    ],
)
def test_what_the_evaluation_could_not_use_is_found_before_training(
    laptop: Path, evaluation: dict[str, Any], says: str
) -> None:
    make.write_jsonl(laptop / "data" / "votes.jsonl", [{"rowID": "test.jsonl:1", "person": "ann", "prefers": "tie"}])
    make.write_jsonl(laptop / "data" / "pickled" / "config.json", [{}])
    (laptop / "data" / "pickled" / "pytorch_model.bin").write_bytes(b"")
    given = json.loads(json.dumps(evaluation).replace("{data}", f"file://{laptop}/data"))
    outcome, code = preflight(make.document(laptop, evaluation=given))

    assert code in {10, 11}
    assert says in outcome.message

"""The evaluation as a stage: every metric, baselines, slices, forgetting, people, the gate, and what is left behind."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

import trainer_factories as make
from attune_contract.enums import Method, MetricName, Stage, Verdict
from attune_contract.gate import CheckKind, decide
from attune_contract.outcome import MetricResult, Outcome
from attune_contract.spec import Gate
from attune_trainer import digests
from attune_trainer.stages import evaluate

pytestmark = pytest.mark.slow  # each some seconds; `make unit` leaves them out

TRAINED = (Stage.PREFLIGHT, Stage.TRAIN)
LEARNS = {"epochs": 20, "learningRate": 0.02}
QUICK = {"epochs": None, "maxSteps": 3}
SIZES = ("small", "big", "old", "new", "cold", "warm", "dry", "wet")
TEXTS = [
    {"name": "ExactMatch"},
    {"name": "TokenF1"},
    {"name": "ROUGE-L"},
    {"name": "BLEU"},
    {"name": "chrF"},
    {"name": "JSONValid", "schema": {"type": "object"}},
    {"name": "RegexMatch", "pattern": r"\s?\w+"},
    {"name": "Accuracy"},
    {"name": "MacroF1"},
    {"name": "Perplexity"},
]


def rows() -> list[dict[str, Any]]:
    """64 rows in two halves, of which each has a hemisphere of its own."""
    return [
        {"prompt": f"{half} {row['prompt']}", "completion": row["completion"], "half": half}
        for half in ("north", "south")
        for row in make.colour_rows()
    ]


def prepared(folder: Path, *, chat: bool = False, **changes: Any) -> dict[str, Any]:
    if not (folder / "model").exists():  # written again it is another one, as adapters of it see it
        make.make_model(folder / "model")
    data: list[Any] = make.chat_rows() if chat else rows()
    make.write_jsonl(folder / "data" / "train.jsonl", data)
    make.write_jsonl(
        folder / "data" / "general.jsonl", [{"text": f"The {r['prompt']} and so on."} for r in rows()[:40]]
    )
    split = {"split": {"testFraction": 0.5, "seed": 1}}
    return make.document(folder, **{"training": QUICK, "dataset": split, **changes})


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((make.run_folder(folder) / "reports" / "evaluation.json").read_text())
    return found


def predictions(folder: Path) -> list[dict[str, Any]]:
    text = (make.run_folder(folder) / "reports" / "predictions.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def page(folder: Path) -> str:
    return (make.run_folder(folder) / "reports" / "evaluation.html").read_text()


def evaluated(made: dict[str, Any]) -> Outcome:
    return make.run_stages(made, [*TRAINED, Stage.EVALUATE])[Stage.EVALUATE]


def results(outcome: Outcome, name: str) -> list[MetricResult]:
    return [r for r in outcome.evaluation if r.metric == name]


def test_every_metric_of_answers_is_taken_described_and_shown_by_row(tmp_path: Path) -> None:
    outcome = evaluated(prepared(tmp_path, training=LEARNS, evaluation={"metrics": TEXTS}))
    told = report(tmp_path)

    assert [r.metric for r in outcome.evaluation] == [m["name"] for m in TEXTS]
    assert list(told["metrics"]) == [m["name"] for m in TEXTS]
    assert "sacrebleu" in told["metrics"]["BLEU"]["computedBy"]
    assert "tok:13a" in told["metrics"]["BLEU"]["signature"]
    for row in predictions(tmp_path):
        assert set(row["tuned"]["scores"]) == {m["name"] for m in TEXTS}
    for name in ("ExactMatch", "TokenF1", "ROUGE-L", "chrF", "Accuracy", "MacroF1"):
        assert results(outcome, name)[0].delta > 0, name
    assert results(outcome, "JSONValid")[0].tuned == 0
    mean = sum(row["tuned"]["scores"]["TokenF1"] for row in predictions(tmp_path)) / 32
    assert results(outcome, "TokenF1")[0].tuned == pytest.approx(mean, rel=1e-5)
    assert told["confusion"]["tuned"]["labels"] == sorted(make.COLOURS.values())
    assert sum(map(sum, told["confusion"]["tuned"]["counts"])) == 32


def test_baselines_slices_forgetting_and_gate_come_from_one_pass(tmp_path: Path) -> None:
    make.make_model(tmp_path / "other", family="qwen2")
    evaluation = {
        "metrics": [{"name": "Accuracy"}, {"name": "ExactMatch"}, {"name": "Perplexity"}],
        "baselines": [
            {"name": "prompted", "systemPrompt": "Say a colour.", "fewShot": 2},
            {"name": "other", "source": f"file://{tmp_path}/other"},
        ],
        "slices": ["half"],
        "forgetting": {"dataset": [f"file://{tmp_path}/data/general.jsonl"], "maxTokenKL": 0.05},
        "gate": {
            "require": [
                {"metric": "Accuracy", "minimum": 0.5, "minImprovement": 0.05, "over": "prompted"},
                {"metric": "Accuracy", "maxRegression": 0.1},
            ]
        },
    }
    outcome = evaluated(prepared(tmp_path, training=LEARNS, evaluation=evaluation))
    told, lines = report(tmp_path), predictions(tmp_path)

    whole = [r for r in outcome.evaluation if r.slice is None]
    assert [(r.metric.value, r.baseline) for r in whole] == [
        (metric, baseline)
        for metric in ("Accuracy", "ExactMatch", "Perplexity")
        for baseline in ("base", "prompted", "other")
    ]
    assert {r.slice for r in outcome.evaluation} == {None, "half=north", "half=south"}
    assert {
        name: sum(r.rows for r in outcome.evaluation if r.slice == f"half={name}") for name in ("north", "south")
    } == {name: 9 * told["slices"]["rows"][f"half={name}"] for name in ("north", "south")}
    assert set(lines[0]) >= {"rowID", "promptDigest", "expected", "base", "tuned", "prompted", "other"}
    assert any(row["prompted"] != row["base"] for row in lines)
    assert [len(told["baselines"][name].get("examples", ())) for name in ("base", "prompted", "other")] == [0, 2, 0]
    assert told["baselines"]["other"]["source"] == f"file://{tmp_path}/other"
    assert outcome.checks is not None
    kinds = [(c.requirement, c.kind, c.slice) for c in outcome.checks.listed]
    assert kinds == [
        (0, CheckKind.IMPROVEMENT, None),
        (0, CheckKind.MINIMUM, None),
        (1, CheckKind.REGRESSION, None),
        (1, CheckKind.REGRESSION, "half=north"),
        (1, CheckKind.REGRESSION, "half=south"),
        (None, CheckKind.FORGETTING, None),
        (None, CheckKind.FORGETTING, None),
    ]
    forgotten = told["forgetting"]
    assert forgotten["tunedPerplexity"] / forgotten["basePerplexity"] == pytest.approx(forgotten["ratio"], rel=1e-4)
    assert forgotten["meanTokenKL"] > 0.05
    gate = Gate.model_validate(evaluation["gate"])
    assert told["verdict"] == decide(gate, outcome.checks, forgetting=True).verdict == Verdict.FAILED
    assert told["sentence"] in page(tmp_path)
    read = Outcome.loads(outcome.dumps())
    assert read is not None
    assert read.checks is not None
    assert decide(gate, read.checks, forgetting=True).verdict == Verdict.FAILED


@pytest.mark.parametrize(
    ("chat", "tuning"),
    [
        pytest.param(True, {"type": "LoRA"}, id="chat-lora"),
        pytest.param(False, {"type": "Full"}, id="text-full"),
    ],
)
def test_a_prompted_base_and_general_text_work_for_chats_and_whole_models(
    tmp_path: Path, chat: bool, tuning: dict[str, Any]
) -> None:
    evaluation = {
        "metrics": [{"name": "Accuracy"}],
        "baselines": [{"name": "base"}, {"name": "prompted", "systemPrompt": "Say a colour.", "fewShot": 1}],
        "forgetting": {"dataset": [f"file://{tmp_path}/data/general.jsonl"]},
    }
    outcome = evaluated(prepared(tmp_path, chat=chat, tuning=tuning, evaluation=evaluation))

    assert [r.baseline for r in outcome.evaluation] == ["base", "prompted"]
    assert report(tmp_path)["forgetting"]["rows"] == 40


@pytest.mark.parametrize("method", ["DPO", "KTO", "Classification"])
def test_other_rows_than_answers_can_be_prompted_too(tmp_path: Path, method: str) -> None:
    answers = [(r["prompt"], r["completion"], r["half"]) for r in rows()]
    data: dict[str, list[dict[str, Any]]] = {
        "DPO": [{"prompt": p, "chosen": a, "rejected": " no"} for p, a, _ in answers],
        "KTO": [
            {"prompt": p, "completion": a if i % 2 else " no", "label": i % 2 > 0}
            for i, (p, a, _) in enumerate(answers)
        ],
        "Classification": [{"text": p, "label": a.strip()} for p, a, _ in answers],
    }
    evaluation = {"metrics": None, "baselines": [{"name": "prompted", "systemPrompt": "Think.", "fewShot": 1}]}
    made = prepared(tmp_path, method=method, evaluation=evaluation)
    make.write_jsonl(tmp_path / "data" / "train.jsonl", data[method])
    outcome = evaluated(made)

    assert [r.baseline for r in outcome.evaluation] == ["base", "prompted"]
    figure = {"DPO": "margin", "KTO": "logLikelihood", "Classification": "logLoss"}[method]
    assert all(row["base"][figure] != row["prompted"][figure] for row in predictions(tmp_path))


def test_examples_that_do_not_fit_the_model_are_refused(tmp_path: Path) -> None:
    long = {"metrics": [{"name": "Accuracy"}], "baselines": [{"name": "prompted", "systemPrompt": "x y " * 300}]}
    made = prepared(tmp_path, evaluation=long)
    make.run_stages(made, TRAINED)
    outcome, code = make.run_stage(made, Stage.EVALUATE)
    assert code == 11
    assert "spec.evaluation.baselines (prompted)" in outcome.message
    assert "the model reads 256" in outcome.message


def test_people_are_asked_about_the_same_rows(tmp_path: Path) -> None:
    made = prepared(tmp_path)
    make.run_stages(made, [*TRAINED, Stage.EVALUATE])
    ids = [row["rowID"] for row in predictions(tmp_path)][:20]
    votes = [
        {"rowID": row, "person": person, "prefers": "tuned" if i < 15 else "base"}
        for i, row in enumerate(ids)
        for person in ("ann", "bob")
    ]
    uri = make.write_jsonl(tmp_path / "data" / "votes.jsonl", votes)
    asked = {"metrics": [{"name": "Accuracy"}, {"name": "HumanPreference", "ratings": uri}]}
    made["workload"]["evaluation"] = {**asked, "gate": {"require": [{"metric": "HumanPreference", "minimum": 0.3}]}}
    outcome = make.run_stages(made, [*TRAINED, Stage.EVALUATE])[Stage.EVALUATE]

    (found,) = results(outcome, "HumanPreference")
    assert (found.tuned, found.value, found.rows) == (0.75, 0.25, 20)
    assert "2 people" in report(tmp_path)["people"]["base"]
    assert report(tmp_path)["verdict"] == "Passed"


def test_an_evaluation_that_was_killed_goes_on_with_what_it_had(tmp_path: Path, monkeypatch: Any) -> None:
    made = prepared(tmp_path, evaluation={"metrics": [{"name": "Accuracy"}, {"name": "Perplexity"}]})
    make.run_stages(made, TRAINED)

    def killed(*_: Any) -> Any:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "_finish", killed)
        assert make.run_stage(made, Stage.EVALUATE)[1] != 0
    kept = sorted((make.run_folder(tmp_path) / "scores").glob("*.jsonl"))
    assert [path.name.rsplit("-", 1)[0] for path in kept] == ["base", "tuned"]
    for path in kept:  # whoever scores again would not see this
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        if path.name.startswith("base"):
            for line in lines:
                line["said"]["label"] = "kept"
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
            seal = path.with_suffix(".seal.json")
            seal.write_text(json.dumps({**json.loads(seal.read_text()), "digest": digests.of_file(path)}))
    again, code = make.run_stage(made, Stage.EVALUATE)
    assert code == 0, again.message
    assert {row["base"]["label"] for row in predictions(tmp_path)} == {"kept"}
    assert len(predictions(tmp_path)) == 32


def test_another_run_over_the_same_base_and_rows_takes_its_scores_and_says_so(tmp_path: Path) -> None:
    asked = {
        "metrics": [{"name": "Accuracy"}, {"name": "Perplexity"}],
        "baselines": [{"name": "prompted", "systemPrompt": "Say a colour.", "fewShot": 1}],
    }
    made = prepared(tmp_path, evaluation=asked)
    first = evaluated(made)
    other = {**made, "run": {**made["run"], "id": "run-2"}}
    other["workload"] = make.workload(
        tmp_path, training={**QUICK, "maxSteps": 2}, dataset=made["workload"]["dataset"], evaluation=asked
    )
    second = make.run_stages(other, [*TRAINED, Stage.EVALUATE])[Stage.EVALUATE]

    folder = tmp_path / "out" / "runs" / "run-2"
    told = json.loads((folder / "reports" / "evaluation.json").read_text())
    assert {n: t["scoredByRun"].rsplit("/", 1)[1] for n, t in told["baselines"].items()} == {
        "base": "run-1",
        "prompted": "run-1",
    }
    assert [r.value for r in second.evaluation] == [r.value for r in first.evaluation]
    assert all("scoredByRun" not in t for t in report(tmp_path)["baselines"].values())
    names = {path.name for path in (folder / "scores").iterdir()}
    shared = {path.name for path in (make.run_folder(tmp_path) / "scores").iterdir() if "tuned" not in path.name}
    assert len(shared) == 4
    assert shared < names
    assert not shared & {name for name in names if name.startswith("tuned")}


def test_what_is_learnt_is_of_no_account_to_the_base_s_scores_unless_examples_are_drawn_from_it(tmp_path: Path) -> None:
    make.make_model(tmp_path / "model")
    data = make.colour_rows()
    test = make.write_jsonl(tmp_path / "data" / "test.jsonl", data[:8])
    baselines = [{"name": "prompted", "systemPrompt": "Say a colour.", "fewShot": 1}]
    for number, rows in ((1, data[8:20]), (2, data[20:])):
        train = make.write_jsonl(tmp_path / "data" / f"train-{number}.jsonl", rows)
        made = make.document(
            tmp_path, training=QUICK, dataset={"train": [train], "test": [test]}, evaluation={"baselines": baselines}
        )
        made["run"]["id"] = f"run-{number}"
        make.run_stages(made, [*TRAINED, Stage.EVALUATE])

    told = json.loads((tmp_path / "out" / "runs" / "run-2" / "reports" / "evaluation.json").read_text())
    assert told["baselines"]["base"]["scoredByRun"].endswith("run-1")
    assert "scoredByRun" not in told["baselines"]["prompted"]


@pytest.mark.parametrize("allowed", [False, True], ids=["refused", "allowed"])
def test_rows_that_were_learnt_are_no_test(tmp_path: Path, allowed: bool) -> None:
    make.make_model(tmp_path / "model")
    data = make.colour_rows()
    train = make.write_jsonl(tmp_path / "data" / "train.jsonl", data)
    test = make.write_jsonl(tmp_path / "data" / "test.jsonl", data[:8])
    evaluation = {"metrics": [{"name": "Accuracy"}], "allowLeakage": True}
    made = make.document(tmp_path, training=QUICK, dataset={"train": [train], "test": [test]}, evaluation=evaluation)
    make.run_stages(made, TRAINED)
    if not allowed:
        made["workload"]["evaluation"]["allowLeakage"] = False
    outcome, code = make.run_stage(made, Stage.EVALUATE)

    if allowed:
        assert code == 0, outcome.message
        assert "8 of the 8 held-out rows were learnt" in report(tmp_path)["notices"][0]
        assert "8 of the 8 held-out rows were learnt" in page(tmp_path)
    else:
        assert code == 10
        assert "spec.evaluation.allowLeakage" in outcome.message


def test_the_method_s_own_metrics_are_taken_where_none_are_named(tmp_path: Path) -> None:
    outcome = evaluated(prepared(tmp_path, evaluation={"metrics": None}))
    assert [r.metric for r in outcome.evaluation] == [MetricName.EXACT_MATCH, MetricName.PERPLEXITY]
    assert report(tmp_path)["method"] == Method.SFT


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({}, 0, id="adapter-over-adapter"),
        pytest.param({"tuning": {"type": "Full"}}, 0, id="all-weights-over-adapter"),
        pytest.param({"model": "another"}, 11, id="of-another-base"),
    ],
)
def test_an_earlier_run_s_adapter_is_a_baseline_on_the_same_base(
    tmp_path: Path, changes: dict[str, Any], code: int
) -> None:
    champion = prepared(tmp_path, training=LEARNS, evaluation={"metrics": [{"name": "Accuracy"}]})
    champion["run"]["id"] = "champion"
    make.run_stages(champion)
    uri = f"file://{tmp_path}/out/runs/champion/model/"
    if changes.get("model"):
        changes = {"model": {"source": make.make_model(tmp_path / "another")}}
    baselines = [{"name": "base"}, {"name": "champion", "source": uri}]
    made = prepared(tmp_path, evaluation={"metrics": [{"name": "Accuracy"}], "baselines": baselines}, **changes)
    make.run_stages(made, TRAINED)
    outcome, found = make.run_stage(made, Stage.EVALUATE)

    assert found == code, outcome.message
    if code:
        assert "is an adapter of" in outcome.message
        return
    base, against = outcome.evaluation
    assert against.baseline == "champion"
    assert against.value > base.value, "the champion had learnt, and is not the base"
    assert against.delta < 0


@pytest.mark.parametrize(
    ("file", "left_out"),
    [
        pytest.param("model.safetensors", True, id="weights"),
        pytest.param("README.md", False, id="a-file-that-nothing-reads"),
    ],
)
def test_an_adapter_is_not_laid_over_a_base_that_was_replaced_in_place(
    tmp_path: Path, file: str, left_out: bool
) -> None:
    champion = prepared(tmp_path, evaluation={"metrics": [{"name": "Accuracy"}]})
    champion["run"]["id"] = "champion"
    make.run_stages(champion)
    with (tmp_path / "model" / file).open("ab"):
        os.utime(tmp_path / "model" / file, (1, 1))
    baselines = [{"name": "champion", "source": f"file://{tmp_path}/out/runs/champion/model/"}]
    gate = {"require": [{"metric": "Accuracy", "over": "champion", "maxRegression": 0.9}]}
    evaluation = {"metrics": [{"name": "Accuracy"}], "baselines": baselines, "gate": gate}
    made = prepared(tmp_path, evaluation=evaluation)
    make.run_stages(made, TRAINED)
    outcome, code = make.run_stage(made, Stage.EVALUATE)

    assert code == 0, outcome.message
    assert ("champion" in {r.baseline for r in outcome.evaluation}) is not left_out
    told = " ".join(report(tmp_path)["notices"])
    assert ("Baseline champion is left out" in told and f"{file} changed there since" in told) is left_out
    assert (report(tmp_path)["verdict"] == Verdict.INCONCLUSIVE) is left_out
    assert ("champion is left out" in page(tmp_path)) is left_out


@pytest.mark.parametrize("labels", ["same", "others"])
def test_a_head_is_compared_where_it_knows_the_same_labels(tmp_path: Path, labels: str) -> None:
    data = [{"text": row["prompt"], "label": row["completion"].strip()} for row in rows()]
    head = {"method": "Classification", "classification": {"style": "Head"}, "evaluation": {"metrics": None}}
    champion = prepared(tmp_path, **head)
    champion["run"]["id"] = "champion"
    make.write_jsonl(tmp_path / "data" / "train.jsonl", data)
    make.run_stages(champion)
    if labels == "others":
        data = [{**row, "label": row["label"].upper()} for row in data]
    baselines = [{"name": "base"}, {"name": "champion", "source": f"file://{tmp_path}/out/runs/champion/model/"}]
    made = prepared(tmp_path, **{**head, "evaluation": {"metrics": None, "baselines": baselines}})
    make.write_jsonl(tmp_path / "data" / "train.jsonl", data)
    make.run_stages(made, TRAINED)
    outcome, code = make.run_stage(made, Stage.EVALUATE)

    assert code == (0 if labels == "same" else 11), outcome.message
    if labels == "others":
        assert "spec.classification.labels" in outcome.message
    else:
        assert outcome.evaluation[1].delta == 0

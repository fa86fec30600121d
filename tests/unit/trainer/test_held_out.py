"""Held-out truth: what is kept apart, from what, and that rows of test are never learnt."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

import trainer_data as data_of
import trainer_factories as make
from attune_contract.enums import Method, Stage
from attune_trainer.data import canonical, leaks, split
from attune_trainer.data.encoding.supervised import Encoder
from attune_trainer.data.examples import Labeled
from attune_trainer.errors import InvalidDataError

KEEPS = {"training": {"epochs": 1, "keepBest": True}}


def answers(path: Path) -> list[str]:
    return [row.answer for row in canonical.read(path, canonical.SUPERVISED)]


def prompts(path: Path) -> set[str]:
    return {row.prompt_text() for row in canonical.read(path, canonical.SUPERVISED)}


def write(folder: Path, **files: list[dict[str, Any]]) -> None:
    for name, rows in files.items():
        make.write_jsonl(folder / f"{name}.jsonl", rows)


def numbered(count: int, *, copies: int = 1) -> list[dict[str, str]]:
    """Rows of different prompts, each with several answers."""
    return [{"prompt": f"Sky {i}?", "completion": f" blue {c}"} for i in range(count) for c in range(copies)]


@pytest.mark.parametrize(
    ("dataset", "work", "parts"),
    [
        pytest.param({}, {}, (90, 0, 10), id="no-validation"),
        pytest.param({"split": {"validationFraction": 0.2}}, {}, (72, 18, 10), id="a-share-of-what-is-left"),
        pytest.param({}, KEEPS, (81, 9, 10), id="a-tenth-for-the-best-weights"),
        pytest.param({"split": {"validationFraction": 0.5}}, KEEPS, (45, 45, 10), id="as-given-for-the-best-weights"),
    ],
)
def test_three_parts(
    data: Path, encoder: Encoder, dataset: dict[str, Any], work: dict[str, Any], parts: tuple[int, int, int]
) -> None:
    write(data, train=numbered(100))
    sides = data_of.check(data, encoder, work=work, **dataset)[0].sides

    assert (sides.train_rows, sides.validation_rows, sides.test_rows) == parts
    assert canonical.count(sides.train) == parts[0]
    assert (canonical.count(sides.validation) if sides.validation else 0) == parts[1]


def test_equal_prompts_stay_in_one_part(data: Path, encoder: Encoder) -> None:
    write(data, train=numbered(40, copies=3))
    sides = data_of.check(data, encoder, split={"validationFraction": 0.25})[0].sides
    assert sides.validation
    found = [prompts(path) for path in (sides.train, sides.validation, sides.test)]

    assert [len(part) for part in found] == [27, 9, 4]
    assert sum(map(len, found)) == len(set.union(*found))


def test_a_row_of_test_that_is_there_again_counts_once(data: Path, encoder: Encoder) -> None:
    """A file of test rows that is read twice must not look like twice the evidence."""
    rows = [{"prompt": f"Grass {i}?", "completion": " green"} for i in range(5)]
    write(data, train=numbered(20), test=[*rows, *rows, rows[0], {"prompt": "Grass 0?", "completion": " brown"}])
    checked = data_of.check(data, encoder, test=True)[0]

    assert (checked.sides.test_rows, checked.sides.repeated_test_rows) == (6, 6)
    assert answers(checked.sides.test) == [" green"] * 5 + [" brown"]
    assert (checked.sides.train_rows, checked.sides.duplicate_rows) == (20, 0)


def test_with_test_files_the_validation_part_is_of_train_alone(data: Path, encoder: Encoder) -> None:
    write(data, train=numbered(20), test=[{"prompt": f"Grass {i}?", "completion": " green"} for i in range(5)])
    sides = data_of.check(data, encoder, test=True, split={"validationFraction": 0.25})[0].sides

    assert (sides.train_rows, sides.validation_rows, sides.test_rows) == (15, 5, 5)
    assert sides.validation
    assert " green" not in answers(sides.validation)


def test_labels_are_watched_in_the_shares_in_which_they_are_learnt() -> None:
    labels = ["often"] * 80 + ["rare"] * 20
    strata = [("often", "rare").index(label) for label in labels]
    rows = split.Rows(list(range(100)), strata, ("often", "rare"))
    parts = split.Parts.of(bytearray(100), rows, 0.1, 3)

    assert Counter(label for label, chosen in zip(labels, parts.validation, strict=True) if chosen) == {
        "often": 8,
        "rare": 2,
    }


def test_the_best_weights_cannot_be_chosen_without_rows_to_choose_by(data: Path, encoder: Encoder) -> None:
    write(data, train=numbered(20))
    work = {"training": {"epochs": 1, "keepBest": True}}
    _, problems = data_of.check(data, encoder, work=work, split={"validationFraction": 0})

    assert [(e.code, e.field) for e in data_of.errors(problems)] == [
        ("too_few_rows", "spec.dataset.split.validationFraction")
    ]


@pytest.mark.parametrize(
    ("leaked", "allowed", "codes"),
    [
        pytest.param("Sky 3?", False, [("leakage", 1)], id="exactly"),
        pytest.param("Sky 3?", True, [], id="exactly-and-allowed"),
        pytest.param("Sky  3?", False, [], id="another-row"),
    ],
)
def test_rows_of_test_that_are_learnt_are_errors(
    data: Path, encoder: Encoder, leaked: str, allowed: bool, codes: list[tuple[str, int]]
) -> None:
    write(data, train=numbered(20), test=[{"prompt": leaked, "completion": " blue 0"}])
    checked, problems = data_of.check(data, encoder, test=True, allow_leakage=allowed)
    found = data_of.errors(problems)

    assert [(e.code, e.line) for e in found] == codes
    assert all("train.jsonl line 4" in e.message and "allowLeakage" in e.message for e in found)
    assert problems.beyond_rows == len(codes)
    assert checked.sides.leaked_rows == int(leaked == "Sky 3?")


def labeled(number: int, label: str = "a") -> Labeled:
    return Labeled(f"x#{number}", f"Text {number}", label)


def parquet_of(path: Path, rows: list[Labeled]) -> Path:
    with canonical.Writer(path, canonical.LABELED) as writer:
        for row in rows:
            writer.write(row)
    return path


@pytest.mark.parametrize(
    ("test", "found"),
    [
        pytest.param([labeled(9)], 0, id="other-text"),
        pytest.param([labeled(1, "b")], 0, id="other-label"),
        pytest.param([labeled(9), labeled(1)], 1, id="in-train"),
        pytest.param([labeled(1), labeled(4)], 2, id="in-validation-too"),
    ],
)
def test_training_looks_once_more(tmp_path: Path, test: list[Labeled], found: int) -> None:
    held_out = parquet_of(tmp_path / "test.parquet", test)
    learnt = [
        parquet_of(tmp_path / "train.parquet", [labeled(1), labeled(2)]),
        parquet_of(tmp_path / "validation.parquet", [labeled(3), labeled(4)]),
    ]
    if not found:
        leaks.refuse(held_out, learnt, canonical.LABELED)
        return
    with pytest.raises(InvalidDataError, match=rf"^{found} rows to train on are rows of test: x#1 \(in train as x#1\)"):
        leaks.refuse(held_out, learnt, canonical.LABELED)


def prepared(folder: Path, **changes: Any) -> dict[str, Any]:
    make.make_model(folder / "model")
    rows = make.colour_rows()
    make.write_jsonl(folder / "data" / "train.jsonl", rows[:24])
    make.write_jsonl(folder / "data" / "test.jsonl", rows[24:])
    dataset = {"test": [f"file://{folder}/data/test.jsonl"]}
    return make.document(folder, **{"training": {"epochs": None, "maxSteps": 3}, "dataset": dataset, **changes})


def replace_test_rows(folder: Path, made: dict[str, Any]) -> None:
    """Puts a row of train among those of test, with the digests as if an earlier stage had left it so."""
    data = make.run_folder(folder) / "data"
    table = parquet.read_table(data / "train.parquet").slice(0, 1)
    parquet.write_table(table, data / "test.parquet")
    from attune_trainer import digests

    result = make.run_folder(folder) / "results" / "preflight.json"
    document = json.loads(result.read_text())
    for artifact in document["outcome"]["artifacts"]:
        if artifact["path"] == "data/test.parquet":
            artifact["digest"] = digests.of_file(data / "test.parquet")
            artifact["sizeBytes"] = (data / "test.parquet").stat().st_size
    result.write_text(json.dumps(document))


@pytest.mark.slow
@pytest.mark.parametrize("allowed", [False, True], ids=["refused", "allowed"])
def test_the_train_stage_refuses_rows_of_test(tmp_path: Path, allowed: bool) -> None:
    made = prepared(tmp_path, evaluation={"allowLeakage": allowed})
    make.run_stages(made, [Stage.PREFLIGHT])
    replace_test_rows(tmp_path, made)
    outcome, code = make.run_stage(made, Stage.TRAIN)

    assert (code, outcome.reason) == ((0, "Completed") if allowed else (10, "InvalidData"))
    assert ("rows of test" in outcome.message) is not allowed


@pytest.mark.slow
def test_the_best_weights_are_the_checkpoint_and_the_report_has_the_curve(tmp_path: Path) -> None:
    training = {"epochs": 6, "maxSteps": None, "learningRate": 0.02, "keepBest": True}
    made = prepared(tmp_path, training=training, dataset={"split": {"testFraction": 0.25, "validationFraction": 0.25}})
    done = make.run_stages(made, [Stage.PREFLIGHT, Stage.TRAIN])
    report = json.loads((make.run_folder(tmp_path) / "reports" / "training.json").read_text())
    best = min(report["validation"], key=lambda point: point["loss"])
    figures = done[Stage.TRAIN].training

    assert figures is not None
    assert figures.validation_loss == best["loss"]
    assert report["checkpointStep"] == best["step"]
    last = f"checkpoints/{figures.steps}/"  # named by the steps that were done, whichever weights are in it
    assert any(a.path == last for a in done[Stage.TRAIN].artifacts)
    described = json.loads((make.run_folder(tmp_path) / last / "checkpoint.json").read_text())
    assert described["step"] == best["step"]
    assert "14 to train" in done[Stage.PREFLIGHT].message
    assert "4 to watch training with" in done[Stage.PREFLIGHT].message
    assert "on the validation rows" in done[Stage.TRAIN].message
    assert {a.path for a in done[Stage.PREFLIGHT].artifacts} >= {"data/validation.parquet"}


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        pytest.param({"language": "de", "tier": 2}, {"language": "de", "tier": "2"}, id="text-and-number"),
        pytest.param({"language": None, "tier": True}, {"language": "", "tier": "true"}, id="nothing-and-true"),
    ],
)
def test_rows_carry_the_columns_that_they_are_told_apart_by(
    data: Path, encoder: Encoder, row: dict[str, Any], kept: dict[str, str]
) -> None:
    write(data, train=[r | row for r in numbered(10)])
    slices = {"evaluation": {"slices": ["language", "tier"], "metrics": [{"name": "Perplexity"}]}}
    checked, problems = data_of.check(data, encoder, work=slices)

    assert data_of.errors(problems) == []
    assert [json.loads(r.slices) for r in canonical.read(checked.sides.test, canonical.SUPERVISED)] == [kept]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        pytest.param({}, "missing_column", id="absent"),
        pytest.param({"language": ["de"]}, "data_type", id="a-list"),
    ],
)
def test_a_column_that_cannot_tell_rows_apart_is_a_problem(
    data: Path, encoder: Encoder, row: dict[str, Any], code: str
) -> None:
    write(data, train=[{**r, "language": "en"} for r in numbered(5)] + [numbered(6)[5] | row])
    slices = {"evaluation": {"slices": ["language"], "metrics": [{"name": "Perplexity"}]}}
    _, problems = data_of.check(data, encoder, work=slices)

    assert [(e.code, e.line, e.field) for e in data_of.errors(problems)] == [(code, 6, "language")]


def test_plain_text_has_no_columns_to_be_told_apart_by(data: Path) -> None:
    (data / "a.txt").write_text("Some words.\n")
    slices = {"evaluation": {"slices": ["language"]}}
    _, problems = data_of.check(data, None, method=Method.CONTINUED_PRETRAINING.value, work=slices)

    assert "missing_column" in {e.code for e in data_of.errors(problems)}

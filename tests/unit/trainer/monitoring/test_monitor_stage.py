"""A look at published versions: what it says in quiet and in changed weeks, and what it leaves behind."""

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import trainer_factories as make
from attune_contract.enums import MetricName, Stage
from attune_contract.monitoring import Monitoring, Variant
from attune_contract.outcome import MAX_BYTES, Outcome
from attune_trainer.data import canonical

pytestmark = pytest.mark.slow

AT = "2026-11-22T03:00:00Z"
NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)
LEARNS = {"epochs": 8, "learningRate": 0.02, "maxSteps": None}


def published(folder: Path, name: str = "run-1", **changes: Any) -> dict[str, str]:
    """Runs all stages, and returns what the operator knows of the version."""
    made = make.document(folder, **{"training": LEARNS, "evaluation": {"metrics": [{"name": "Accuracy"}]}, **changes})
    made["run"]["id"] = name
    done = make.run_stages(made)[Stage.PUBLISH]
    assert done.digest is not None
    return {"runURI": f"file://{folder}/out/runs/{name}", "digest": done.digest, "version": name}


def prepared(folder: Path, rows: list[dict[str, Any]] | None = None) -> None:
    make.make_model(folder / "model")
    make.write_jsonl(folder / "data" / "train.jsonl", rows or world(120))


def world(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows that a tiny model learns: numbers that mean nothing, and a thing whose colour is the answer."""
    draw = random.Random(seed)  # noqa: S311 - rows for a test
    numbers = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    chosen = [(draw.choices(numbers, k=3), draw.choice(make.WORDS)) for _ in range(count)]
    return [
        {"prompt": f"The {' '.join(said)} {words} is", "completion": make.COLOURS[words.split()[1]]}
        for said, words in chosen
    ]


def unlearnt(count: int) -> list[dict[str, Any]]:
    """Rows of the same world that are not among those of `prepared`, nor among 40 later ones."""
    learnt = [*world(120), *world(40, 900)]
    return [row for row in world(2 * count, 500) if row not in learnt][:count]


def drop(folder: Path, rows: list[dict[str, Any]], day: datetime = NOW - timedelta(days=1)) -> None:
    make.write_jsonl(folder / "fresh" / f"{day:%Y-%m-%d}" / "rows.jsonl", rows)


def look(folder: Path, *variants: dict[str, str], attempt: int = 1, **changes: Any) -> tuple[Outcome, int]:
    names = ("champion", "challenger")
    made = make.document(folder)
    made["run"] = {"id": "uid-of-tm", "name": "colours", "namespace": "laptop", "stage": "Monitor", "attempt": attempt}
    made["monitoring"] = {
        "at": AT,
        "source": f"file://{folder}/fresh/",
        "minRows": 30,
        "variants": [{"variant": name, **version} for name, version in zip(names, variants, strict=False)],
        **changes,
    }
    return make.run_stage(made, Stage.MONITOR)


def said(outcome: Outcome) -> Monitoring:
    assert outcome.monitoring is not None, outcome.message
    return outcome.monitoring


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (folder / "out" / "runs" / "uid-of-tm" / "reports" / "monitoring.json").read_text()
    )
    return found


def test_a_quiet_week_a_changed_one_and_a_second_attempt(tmp_path: Path) -> None:
    prepared(tmp_path)
    champion = published(tmp_path)
    drop(tmp_path, world(80, 500))
    outcome, code = look(tmp_path, champion)
    quiet = said(outcome)

    assert code == 0, outcome.message
    assert (quiet.rows, quiet.labelled_rows, quiet.drifted) == (80, 80, False)
    assert quiet.inputs is not None
    assert quiet.labels is not None
    assert [drop.metric for drop in quiet.metrics] == [MetricName.ACCURACY]
    assert quiet.sentence.endswith("nothing has moved.")

    inverted = dict(zip(make.COLOURS.values(), [*list(make.COLOURS.values())[1:], " green"], strict=True))
    wrong = [{**row, "completion": inverted[row["completion"]]} for row in world(80, 500)]
    new = [{"prompt": f"Please cancel order number {i} now", "completion": " green"} for i in range(60)]
    drop(tmp_path, [*wrong, *new])
    later, code = look(tmp_path, champion, at="2026-11-22T04:00:00Z")
    moved = said(later)

    assert code == 0, later.message
    assert moved.drifted
    assert moved.metrics[0].dropped
    assert moved.metrics[0].before == quiet.metrics[0].before
    assert moved.inputs is not None
    assert {"cancel", "order"} <= set(moved.inputs.more)
    assert moved.labels is not None
    assert moved.labels.drifted
    assert "cancel" in moved.sentence
    assert [entry["look"]["at"] for entry in report(tmp_path)["looks"]] == ["2026-11-22T04:00:00Z", AT]

    drop(tmp_path, [])
    again, code = look(tmp_path, champion, at="2026-11-22T04:00:00Z", attempt=2)
    assert code == 0
    assert said(again) == moved
    assert len(report(tmp_path)["looks"]) == 2
    assert len(again.dumps().encode()) <= MAX_BYTES


def test_champion_and_challenger_are_told_apart_by_figures_and_by_ratings(tmp_path: Path) -> None:
    prepared(tmp_path)
    champion = published(tmp_path, training={"epochs": None, "maxSteps": 1})
    challenger = published(tmp_path, "run-2", output={"format": "Merged"})
    rows = [
        {**row, "variant": ("champion", "challenger", "base")[i % 3], "rating": (2, 5, 1)[i % 3] - i % 2}
        for i, row in enumerate(unlearnt(90))
    ]
    drop(tmp_path, rows)
    outcome, code = look(tmp_path, champion, challenger)
    found = said(outcome)

    assert code == 0, outcome.message
    by = {v.variant: v for v in found.variants}
    assert [by[v].answered for v in Variant] == [30, 30, 30]
    assert by[Variant.CHALLENGER].metrics[MetricName.ACCURACY] > by[Variant.CHAMPION].metrics[MetricName.ACCURACY]
    assert (by[Variant.BASE].rating, by[Variant.CHALLENGER].rating) == (0.5, 4.5)
    accuracy, rating = found.comparisons
    assert (accuracy.about, accuracy.rows) == ("Accuracy", 90)
    assert accuracy.low is not None
    assert accuracy.low > 0
    assert (rating.about, rating.delta) == ("rating", 3)

    held_out = f"{challenger['runURI']}/data/test.parquet"
    outcome, code = look(tmp_path, champion, challenger, source=held_out, window="876000h", minRows=20)
    compared = said(outcome)
    assert code == 0, outcome.message
    assert [c.about for c in compared.comparisons] == ["Accuracy"]
    assert (compared.rows, compared.drifted, compared.inputs) == (12, False, None)
    assert [len(report(tmp_path)[kind]) for kind in ("looks", "comparisons")] == [1, 1]


def test_rows_that_a_version_has_learnt_are_told_and_not_evaluated(tmp_path: Path) -> None:
    prepared(tmp_path)
    quick: dict[str, Any] = {
        "training": {"epochs": None, "maxSteps": 1},
        "dataset": {"split": {"validationFraction": 0.1}},
    }
    champion = published(tmp_path, **quick)
    later = world(40, 900)
    make.write_jsonl(tmp_path / "data" / "train.jsonl", [*world(120), *later])
    challenger = published(tmp_path, "run-2", **quick)
    held_out = {
        turn.content
        for name in ("run-1", "run-2")
        for row in canonical.read(tmp_path / "out" / "runs" / name / "data" / "test.parquet", canonical.SUPERVISED)
        for turn in row.turns[:1]
    }
    fresh = unlearnt(50)
    drop(tmp_path, [*later, *world(120)[:30], *fresh])
    outcome, code = look(tmp_path, champion, challenger)
    found = said(outcome)

    assert code == 0, outcome.message
    assert (found.rows, found.labelled_rows) == (120, 120)
    evaluated = {v.variant: v.rows for v in found.variants}
    learnt = 120 - evaluated[Variant.CHAMPION]
    assert evaluated[Variant.CHALLENGER] == evaluated[Variant.CHAMPION]
    assert 50 <= evaluated[Variant.CHAMPION] <= 50 + sum(r["prompt"] in held_out for r in [*later, *world(120)[:30]])
    assert f"{learnt} that a version has learnt are not evaluated" in found.sentence
    assert found.metrics[0].rows == evaluated[Variant.CHAMPION]

    drop(tmp_path, later)
    outcome, code = look(tmp_path, challenger, at="2026-11-22T04:00:00Z")
    assert code == 0, outcome.message
    assert said(outcome).metrics == ()


@pytest.mark.parametrize(
    ("rows", "at_most", "labelled"),
    [
        pytest.param([], 0, 0, id="nothing yet"),
        pytest.param(world(10, 500), 10, 10, id="too few"),
    ],
)
def test_too_few_rows_are_told_and_are_no_error(
    tmp_path: Path, rows: list[dict[str, Any]], at_most: int, labelled: int
) -> None:
    prepared(tmp_path)
    champion = published(tmp_path, training={"epochs": None, "maxSteps": 1})
    if rows:
        drop(tmp_path, rows)
    else:
        (tmp_path / "fresh").mkdir()
    outcome, code = look(tmp_path, champion)
    assert code == 0, outcome.message
    found = said(outcome)
    assert (found.rows, found.labelled_rows, found.enough, found.drifted) == (at_most, labelled, False, False)
    assert "too few" in found.sentence


def test_rows_without_answers_tell_of_inputs_and_old_or_broken_ones_of_nothing(tmp_path: Path) -> None:
    prepared(tmp_path)
    champion = published(tmp_path, training={"epochs": None, "maxSteps": 1})
    asked = [{"prompt": row["prompt"], "timestamp": (NOW - timedelta(hours=5)).isoformat()} for row in world(60, 500)]
    old = [{**row, "timestamp": (NOW - timedelta(days=30)).timestamp()} for row in world(5, 700)]
    drop(tmp_path, [*asked, *old, {"prompt": ""}, {"completion": "x"}, {"prompt": "x", "timestamp": 10**400}])
    drop(tmp_path, world(50, 800), NOW - timedelta(days=40))
    outcome, code = look(tmp_path, champion)
    found = said(outcome)

    assert code == 0, outcome.message
    assert (found.rows, found.labelled_rows, found.invalid_rows) == (60, 0, 3)
    assert found.inputs is not None
    assert (found.labels, found.metrics) == (None, ())
    assert report(tmp_path)["looks"][0]["files"] == 1
    assert {p["code"] for p in report(tmp_path)["looks"][0]["problems"]} == {
        "empty_prompt",
        "missing_column",
        "data_type",
    }


def test_versions_that_read_different_rows_are_not_compared_and_that_is_no_error(tmp_path: Path) -> None:
    prepared(tmp_path)
    quick = {"epochs": None, "maxSteps": 1}
    champion = published(tmp_path, training=quick)
    make.write_jsonl(tmp_path / "data" / "train.jsonl", [{"text": row["prompt"]} for row in world(40)])
    evaluation = {"metrics": None}
    challenger = published(tmp_path, "run-2", training=quick, method="ContinuedPretraining", evaluation=evaluation)
    outcome, code = look(tmp_path, champion, challenger, source=f"{challenger['runURI']}/data/test.parquet")
    assert code == 0, outcome.message
    assert said(outcome).comparisons == ()
    assert "ContinuedPretraining" in report(tmp_path)["comparisons"][0]["notices"][0]


def test_a_version_that_was_changed_since_is_refused(tmp_path: Path) -> None:
    prepared(tmp_path)
    champion = published(tmp_path, training={"epochs": None, "maxSteps": 1})
    drop(tmp_path, world(40, 500))
    file = tmp_path / "out" / "runs" / "run-1" / "model" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes() + b" ")
    outcome, code = look(tmp_path, champion)
    assert (code, outcome.reason) == (10, "DigestMismatch")
    (tmp_path / "out" / "runs" / "run-1" / "manifest.json").write_text("{}")
    outcome, code = look(tmp_path, champion)
    assert (code, outcome.reason) == (10, "DigestMismatch")
    assert "Promote another version" in outcome.message


def test_a_look_outside_of_what_the_runtime_allows_is_refused(tmp_path: Path) -> None:
    made = make.document(tmp_path)
    made["runtime"]["allowedURIs"] = [f"file://{tmp_path}/out"]
    made["monitoring"] = {
        "at": AT,
        "source": f"file://{tmp_path}/fresh/",
        "variants": [
            {"variant": "champion", "version": "v1", "runURI": "file:///elsewhere", "digest": f"sha256:{0:064x}"}
        ],
    }
    outcome, code = make.run_stage(made, Stage.MONITOR)
    assert code == 11
    assert "spec.monitor.source" in outcome.message
    assert "file:///elsewhere" in outcome.message


LEARNT_AND_FRESH = [*world(120), *world(60, 500)]


@pytest.mark.parametrize(
    ("method", "rows", "changes"),
    [
        pytest.param(
            "Classification",
            [{"text": row["prompt"], "label": row["completion"].strip()} for row in LEARNT_AND_FRESH],
            {"classification": {"style": "Head"}},
            id="classification-head",
        ),
        pytest.param(
            "KTO",
            [{**row, "label": i % 3 > 0} for i, row in enumerate(LEARNT_AND_FRESH)],
            {},
            id="kto",
        ),
        pytest.param(
            "ContinuedPretraining",
            [{"text": row["prompt"] + row["completion"]} for row in LEARNT_AND_FRESH],
            {},
            id="text",
        ),
    ],
)
def test_every_kind_of_row_can_be_looked_at(
    tmp_path: Path, method: str, rows: list[dict[str, Any]], changes: dict[str, Any]
) -> None:
    prepared(tmp_path, rows[:120])
    quick = {"epochs": None, "maxSteps": 2}
    champion = published(tmp_path, method=method, training=quick, evaluation={"metrics": None}, **changes)
    drop(tmp_path, rows[120:])
    if method == "ContinuedPretraining":
        (tmp_path / "fresh" / "more.txt").write_text("The sky is blue, and the grass is green.")
    outcome, code = look(tmp_path, champion)
    assert code == 0, outcome.message
    found = said(outcome)
    assert (found.rows, found.drifted) == (60 + (method == "ContinuedPretraining"), False)
    assert len(found.metrics) == 1
    assert (found.labels is None) is (method == "ContinuedPretraining")

"""Runs of a start: one for each combination, named by time and values."""

from datetime import UTC, datetime
from typing import Any

import pytest

from attune_operator.api.enums import Trigger
from attune_operator.api.schedules import JobTemplate
from attune_operator.finetuneschedule import matrix
from factories import SPEC, merge

DUE = datetime(2026, 1, 4, 2, 0, tzinfo=UTC)


def template(values: dict[str, list[str]] | None = None, **spec: Any) -> JobTemplate:
    return JobTemplate.model_validate({"matrix": values or {}, "spec": merge(SPEC, spec)})


@pytest.mark.parametrize(
    ("values", "count"),
    [({}, 1), ({"lang": ["de", "fr"]}, 2), ({"lang": ["de", "fr"], "size": ["s", "m", "l"]}, 6)],
    ids=["none", "one list", "two lists"],
)
def test_every_combination_makes_a_run(values: dict[str, list[str]], count: int) -> None:
    found = matrix.combinations(template(values))
    assert len({tuple(sorted(c.items())) for c in found}) == len(found) == count


def test_values_take_the_place_of_placeholders_in_chosen_fields_and_nowhere_else() -> None:
    made = template(
        {"lang": ["de"]},
        model={"source": "s3://models/{{lang}}", "chatTemplate": "{{lang}}"},
        dataset={
            "train": ["s3://data/{{ lang }}/a.jsonl", "s3://data/all.jsonl"],
            "test": ["s3://data/{{lang}}/t.jsonl"],
        },
        evaluation={"forgetting": {"dataset": ["s3://data/{{lang}}.txt"]}},
        output={"uri": "s3://models/out/{{lang}}/", "register": "router-{{lang}}"},
    )
    spec = matrix.expanded(made, {"lang": "de"})
    assert spec["model"] == {**spec["model"], "source": "s3://models/de", "chatTemplate": "{{lang}}"}
    assert spec["dataset"]["train"] == ["s3://data/de/a.jsonl", "s3://data/all.jsonl"]
    assert spec["dataset"]["test"] == ["s3://data/de/t.jsonl"]
    assert spec["evaluation"]["forgetting"]["dataset"] == ["s3://data/de.txt"]
    assert (spec["output"]["uri"], spec["output"]["register"]) == ("s3://models/out/de/", "router-de")


@pytest.mark.parametrize(
    ("values", "spec", "paths"),
    [
        pytest.param({}, {}, [], id="nothing"),
        pytest.param({}, {"dataset": {"train": ["s3://d/{{x}}.jsonl"]}}, ["t.spec.dataset.train[0]"], id="no values"),
        pytest.param({"a": ["1", "1"]}, {}, ["t.matrix.a"], id="a value twice"),
        pytest.param({f"n{i}": [str(v) for v in range(17)] for i in range(2)}, {}, ["t.matrix"], id="289 runs"),
        pytest.param({"a": ["1", "2"]}, {"output": {"register": "m"}}, ["t.spec.output.register"], id="one for two"),
        pytest.param({"a": ["1", "2"]}, {"output": {"register": "m-{{a}}"}}, [], id="a model for each"),
        pytest.param({"a": ["1"]}, {"output": {"register": "m"}}, [], id="one model for one"),
        pytest.param(
            {"a": ["de", "FR"]},
            {"output": {"register": "m-{{a}}"}},
            ["t.spec.output.register"],
            id="a name in capitals",
        ),
        pytest.param(
            {"a": ["x" * 60, "y"], "b": ["y", "x" * 60], "c": ["x" * 63], "d": ["x" * 63]},
            {"output": {"register": "models-{{a}}-{{b}}-{{c}}-{{d}}"}},
            ["t.spec.output.register"],
            id="a name that is too long where values meet",
        ),
        pytest.param({}, {"output": {"register": "m."}}, ["t.spec.output.register"], id="no name, without a matrix"),
    ],
)
def test_what_is_wrong_with_a_matrix_is_told_by_its_field(
    values: dict[str, list[str]], spec: dict[str, Any], paths: list[str]
) -> None:
    assert [p.path for p in matrix.problems(template(values, **spec), "t")] == paths


@pytest.mark.parametrize(
    ("trigger", "second", "values", "name"),
    [
        (Trigger.CRON, 0, {}, "weekly-20260104-0200"),
        (Trigger.CRON, 7, {}, "weekly-20260104-020007"),
        (Trigger.MANUAL, 0, {}, "weekly-20260104-020000"),
        (Trigger.CRON, 0, {"lang": "de", "a": "x"}, "weekly-20260104-0200-x-de"),
        (Trigger.CRON, 0, {"lang": "pt-br"}, "weekly-20260104-0200-pt-br"),
    ],
    ids=["a cron", "a cron with jitter", "by hand", "with values, by the order of their names", "a hyphen in the one"],
)
def test_a_run_is_named_by_schedule_time_and_values(
    trigger: Trigger, second: int, values: dict[str, str], name: str
) -> None:
    assert matrix.run_name("weekly", trigger, DUE.replace(second=second), values) == name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"base": "qwen", "task": "chat-fr"}, {"base": "qwen-chat", "task": "fr"}),
        ({"a": "x", "b": "y-z", "c": "w"}, {"a": "x-y", "b": "z", "c": "w"}),
    ],
)
def test_values_with_hyphens_name_one_run_each(one: dict[str, str], other: dict[str, str]) -> None:
    assert matrix.run_name("w", Trigger.CRON, DUE, one) != matrix.run_name("w", Trigger.CRON, DUE, other)


def test_names_are_names_however_long_or_odd_the_values() -> None:
    odd = ["De", "de", "d.e", "d_e", "a" * 63, "a" * 62 + "b"]
    names = {matrix.run_name("w" * 42, Trigger.CRON, DUE, {"lang": value}) for value in odd}
    assert len(names) == len(odd)
    for name in names:
        assert len(name) <= 63
        assert name == name.lower()
        assert name[-1].isalnum()


@pytest.mark.parametrize(
    ("change", "same"),
    [
        pytest.param({}, True, id="nothing"),
        pytest.param({"maxParallel": 2}, True, id="how many at once"),
        pytest.param({"spec": {"retryLimit": 3}}, True, id="a default, written out"),
        pytest.param({"spec": {"retryLimit": 4}}, False, id="a field"),
        pytest.param({"metadata": {"labels": {"a": "b"}}}, False, id="a label"),
        pytest.param({"matrix": {"lang": ["de"]}}, False, id="a matrix"),
    ],
)
def test_a_template_is_another_when_its_runs_would_be(change: dict[str, Any], same: bool) -> None:
    before = JobTemplate.model_validate({"spec": SPEC})
    after = JobTemplate.model_validate(merge({"spec": SPEC}, change))
    assert (matrix.template_digest(before) == matrix.template_digest(after)) is same

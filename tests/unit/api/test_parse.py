from typing import Any

import pytest

from attune_contract.spec import Workload
from attune_operator.api.clusterfinetuneschedule import ClusterFineTuneSchedule
from attune_operator.api.finetunejob import FineTuneJob, FineTuneJobSpec, FineTuneJobStatus
from attune_operator.api.finetuneschedule import FineTuneSchedule
from attune_operator.api.problems import FieldProblem
from attune_operator.api.tunedmodel import TunedModel
from attune_operator.api.tuningruntime import TuningRuntime
from tables import Case, cases, changed, load, resource, valid

PARSERS = {
    "FineTuneJob": FineTuneJob.parse,
    "TuningRuntime": TuningRuntime.parse,
    "FineTuneSchedule": FineTuneSchedule.parse,
    "ClusterFineTuneSchedule": ClusterFineTuneSchedule.parse,
    "TunedModel": TunedModel.parse,
}
INVALID = [case for kind in PARSERS for case in cases(kind)]


def problems(kind: str, spec: Any) -> tuple[FieldProblem, ...]:
    return tuple(PARSERS[kind](resource(kind, spec))[1])


@pytest.mark.parametrize("case", INVALID, ids=[f"{c.kind} with {c.name}" for c in INVALID])
def test_a_bad_field_is_named(case: Case) -> None:
    found = problems(case.kind, case.spec)
    assert [p.path for p in found] == [case.field]
    assert case.says in found[0].message


@pytest.mark.parametrize("kind", PARSERS)
def test_what_the_tables_differ_from_is_valid(kind: str) -> None:
    assert problems(kind, valid(kind)) == ()


def test_the_design_s_manifest_is_valid() -> None:
    run, found = FineTuneJob.parse(load("design.yaml"))
    assert found == ()
    assert (run.spec.tuning.rank, run.spec.budget.max_cost if run.spec.budget else None) == (16, "25.00")


def test_all_problems_are_told_at_once_with_words() -> None:
    spec = changed(
        valid("FineTuneJob"),
        {"method": "Magic", "training": {"batchsize": 3, "learningRate": -1}, "output": None, "model": {"source": 7}},
    )
    assert [str(p) for p in problems("FineTuneJob", spec)] == [
        "spec.model.source: must be a valid string; it is 7.",
        "spec.method: must be one of SFT, DPO, ORPO, KTO, ContinuedPretraining, Classification; it is 'Magic'.",
        "spec.training.learningRate: must be greater than 0; it is -1.",
        "spec.training.batchsize: there is no such field; did you mean batchSize?",
        "spec.output: is required.",
    ]


def test_all_broken_rules_are_told_at_once() -> None:
    spec = changed(
        valid("FineTuneJob"),
        {"training": {"seed": 1}, "dataset": {"train": ["file:///a", "file:///b"]}, "output": {"uri": "s3://x"}},
    )
    assert [p.path for p in problems("FineTuneJob", spec)] == [
        "spec.dataset.train[0]",
        "spec.dataset.train[1]",
        "spec.output.uri",
        "spec.training",
    ]


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"metadata": None, "spec": None, "status": None},
        {"metadata": [], "spec": [], "status": []},
        {"metadata": {"name": 3}, "spec": "x", "status": "y"},
        {"metadata": {"name": "x"}, "spec": {"model": []}},
    ],
    ids=["nothing", "nulls", "lists", "text", "a list for a block"],
)
@pytest.mark.parametrize("kind", [k for k in PARSERS if k != "TunedModel"])
def test_nonsense_is_a_problem_and_never_an_error(kind: str, raw: dict[str, Any]) -> None:
    assert PARSERS[kind](raw)[1]


def test_a_bad_spec_leaves_metadata_and_status_readable() -> None:
    raw = {**resource("FineTuneJob", {}, name="job"), "status": {"phase": "Training"}}
    run, found = FineTuneJob.parse(raw)
    assert found
    assert (run.metadata.name, run.status.phase) == ("job", "Training")


def test_an_unreadable_status_field_is_told_and_the_others_are_kept() -> None:
    raw = {
        **resource("FineTuneJob", valid("FineTuneJob")),
        "status": {"phase": "Dancing", "runID": "1", "attempts": [{}]},
    }
    run, found = FineTuneJob.parse(raw)
    assert {p.path for p in found} >= {"status.phase", "status.attempts[0].stage", "status.attempts[0].jobName"}
    assert (run.status.run_id, run.status.phase) == ("1", None)


def test_unknown_status_fields_are_passed_over() -> None:
    raw = {**resource("FineTuneJob", valid("FineTuneJob")), "status": {"newer": 1, "progress": None, "runID": "1"}}
    run, found = FineTuneJob.parse(raw)
    assert found == ()
    assert run.status == FineTuneJobStatus(run_id="1")


def test_unknown_metadata_is_passed_over_and_known_is_read() -> None:
    metadata = {
        "name": "x",
        "uid": "1",
        "generation": 3,
        "resourceVersion": "9",
        "managedFields": [{}],
        "labels": {"a": "b"},
    }
    run, found = FineTuneJob.parse({**resource("FineTuneJob", valid("FineTuneJob")), "metadata": metadata})
    assert found == ()
    assert (run.metadata.uid, run.metadata.generation, run.metadata.resource_version) == ("1", 3, "9")


def test_a_spec_has_every_block_that_pods_act_on_just_as_the_contract_has_it() -> None:
    for name, field in Workload.model_fields.items():
        own = FineTuneJobSpec.model_fields[name]
        assert (own.annotation, own.default) == (field.annotation, field.default), name


@pytest.mark.parametrize(
    ("selector", "labels", "admitted"),
    [
        (None, {}, True),
        ({}, {}, True),
        ({"matchLabels": {"team": "a"}}, {"team": "a", "x": "y"}, True),
        ({"matchLabels": {"team": "a"}}, {"team": "b"}, False),
        ({"matchLabels": {"team": "a", "x": "y"}}, {"team": "a"}, False),
        ({"matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}]}, {"team": "b"}, True),
        ({"matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}]}, {}, False),
        ({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}, {"team": "a"}, False),
        ({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}, {}, True),
        ({"matchExpressions": [{"key": "team", "operator": "Exists"}]}, {"team": ""}, True),
        ({"matchExpressions": [{"key": "team", "operator": "Exists"}]}, {}, False),
        ({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}, {}, True),
        ({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}, {"team": "a"}, False),
        (
            {"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]},
            {"a": "1"},
            False,
        ),
    ],
    ids=[
        "no selector",
        "an empty selector",
        "the label",
        "another value",
        "one of two labels",
        "In",
        "In without the label",
        "NotIn",
        "NotIn without the label",
        "Exists, empty",
        "Exists without the label",
        "DoesNotExist",
        "DoesNotExist with the label",
        "labels but not expressions",
    ],
)
def test_a_runtime_admits_the_namespaces_that_it_selects(
    selector: dict[str, Any] | None, labels: dict[str, str], admitted: bool
) -> None:
    runtime, found = TuningRuntime.parse(
        resource("TuningRuntime", {"image": "x", **({"namespaces": selector} if selector is not None else {})})
    )
    assert found == ()
    assert runtime is not None
    assert runtime.selects(labels) is admitted


@pytest.mark.parametrize(
    ("changes", "readable"),
    [
        pytest.param({"fieldOfANewerVersion": 1}, True, id="a newer field"),
        pytest.param({"output": {"uri": "s3://m/p/", "newer": {"a": [1]}}}, True, id="a newer field deeper down"),
        pytest.param({"fieldOfANewerVersion": 1, "retryLimit": "many"}, False, id="and something that is wrong"),
    ],
)
def test_a_field_of_a_newer_version_is_a_problem_that_leaves_the_rest_readable(
    changes: dict[str, Any], readable: bool
) -> None:
    run, found = FineTuneJob.parse(resource("FineTuneJob", {**valid("FineTuneJob"), **changes}))
    assert found
    assert all(p.unknown for p in found) is readable
    assert hasattr(run.spec, "output") is readable

"""What a TunedModel means for a run that registers with it, and the Jobs that look at data and versions."""

import json
from typing import Any

import pytest

from attune_contract.datafacts import KnownData
from attune_contract.enums import Method, Stage
from attune_contract.runconfig import RunConfig
from attune_operator.api.conditions import Reason
from attune_operator.api.enums import AttemptState
from attune_operator.api.finetuneschedule import DataSeen
from attune_operator.finetunejob.plan import plan
from attune_operator.finetunejob.registering import with_champion, workload
from attune_operator.finetunejob.runconfig import run_config
from attune_operator.finetuneschedule import build
from attune_operator.naming import RUN_CONFIG_ANNOTATION, SCHEDULE_ANNOTATION, TUNED_MODEL_ANNOTATION
from attune_operator.settings import Settings
from attune_operator.tunedmodel import build as look_build
from factories import attempt, run, runtime, seen
from retraining import HOURLY, UID, Model, Scheduler, at, schedule, tuned_model

REGISTER = {"output": {"register": "router"}}
BEFORE = (attempt(Stage.PREFLIGHT, AttemptState.SUCCEEDED), attempt(Stage.TRAIN, AttemptState.SUCCEEDED))


def champion(**spec: Any) -> Any:
    model = Model()
    model.run(1, **spec)
    return tuned_model(model.status)


def test_a_run_waits_for_the_tuned_model_that_it_registers_with() -> None:
    decision = plan(seen(run=run(**REGISTER)))
    assert decision.start is None
    assert decision.hold is not None
    assert (decision.hold.reason, decision.hold.stalled) == (Reason.TUNED_MODEL_NOT_FOUND, True)
    assert "'router'" in decision.hold.message
    assert plan(seen(run=run(**REGISTER), tuned_model=tuned_model())).start is not None


@pytest.mark.parametrize(
    ("serving", "spec", "refused"),
    [
        ({"server": "vLLM"}, {"tuning": {"rank": 16}}, ""),
        ({"server": "vLLM"}, {"tuning": {"rank": 17}}, "spec.tuning.rank"),
        ({"server": "vLLM", "maxRank": 64}, {"tuning": {"rank": 64}}, ""),
        ({"server": "KServe"}, {}, "spec.output.format"),
        ({"server": "KServe"}, {"output": {"format": "Merged"}}, ""),
        ({"server": "transformers"}, {"tuning": {"rank": 512}}, ""),
    ],
)
def test_what_the_server_cannot_load_is_refused_before_it_is_trained(
    serving: dict[str, Any], spec: dict[str, Any], refused: str
) -> None:
    output = {**REGISTER["output"], **spec.get("output", {})}
    made = run(**{**spec, "output": output})
    decision = plan(seen(run=made, tuned_model=tuned_model(serving=serving)))
    assert (decision.hold is not None and decision.hold.reason == Reason.NOT_SERVABLE) is bool(refused)
    if refused:
        assert decision.hold is not None
        assert decision.hold.message.startswith(refused)
        assert decision.start is None


@pytest.mark.parametrize(
    ("model", "spec", "joins"),
    [
        pytest.param(champion(), {}, True, id="of the same base"),
        pytest.param(champion(model={"source": "s3://models/other"}), {}, False, id="an adapter of another base"),
        pytest.param(
            champion(model={"source": "s3://models/other"}, output={"format": "Merged"}), {}, True, id="a whole model"
        ),
        pytest.param(tuned_model(), {}, False, id="no champion"),
        pytest.param(
            champion(),
            {"evaluation": {"baselines": [{"name": "champion", "source": "s3://models/mine"}]}},
            False,
            id="the manifest has its own",
        ),
    ],
)
def test_the_champion_joins_the_evaluation_where_it_can(model: Any, spec: dict[str, Any], joins: bool) -> None:
    decision = plan(seen(run=run(attempts=BEFORE, **REGISTER, **spec), tuned_model=model))
    assert decision.start is not None
    assert decision.start.stage is Stage.EVALUATE
    assert (decision.start.champion is not None) is joins
    config = run_config(run(**REGISTER, **spec), runtime(), decision.start, Settings())
    joined = [
        b for b in config.workload.evaluation.baselines if b.name == "champion" and b.source != "s3://models/mine"
    ]
    assert bool(joined) is joins
    RunConfig.model_validate_json(config.model_dump_json(exclude_none=True))


GATE = {
    "metrics": [{"name": "Accuracy"}],
    "gate": {"require": [{"metric": "Accuracy", "minImprovement": 0.01, "over": "champion"}]},
}


@pytest.mark.parametrize(
    ("stage", "version", "over"),
    [(Stage.EVALUATE, 1, "champion"), (Stage.EVALUATE, None, "base"), (Stage.PREFLIGHT, None, "champion")],
    ids=["there is one", "there is none: the base is in use", "other stages are told what was written"],
)
def test_where_there_is_no_champion_the_base_stands_in_its_place(stage: Stage, version: int | None, over: str) -> None:
    told = {"champion": {"version": version, "model_uri": "s3://m"}} if version else {}
    made = attempt(stage, AttemptState.PENDING, **told)
    work = with_champion(workload(run(evaluation=GATE, **REGISTER).spec), made)
    assert work.evaluation.gate is not None
    assert work.evaluation.gate.require[0].over == over


def test_a_run_of_a_schedule_is_its_own() -> None:
    weekly = Scheduler(triggers=HOURLY, jobTemplate={"metadata": {"labels": {"team": "a"}}})
    (record,) = weekly.step(at(hours=1)).create
    made = build.finetunejob(schedule(weekly.status, **weekly.spec), record)
    assert made["metadata"]["name"] == "weekly-20260101-1300"
    assert made["metadata"]["labels"]["team"] == "a"
    assert made["metadata"]["annotations"] == {SCHEDULE_ANNOTATION: "weekly"}
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("FineTuneSchedule", UID, True)


def pod_of(job: dict[str, Any]) -> tuple[RunConfig, list[str], dict[str, str]]:
    template = job["spec"]["template"]
    marks = template["metadata"]["annotations"]
    config = RunConfig.model_validate_json(marks[RUN_CONFIG_ANNOTATION])
    return config, template["spec"]["containers"][0]["command"], marks


def test_the_pod_that_looks_at_training_data_is_told_all_of_it() -> None:
    template = {"matrix": {"lang": ["de", "fr"]}, "spec": {"dataset": {"train": ["s3://data/{{lang}}.jsonl"]}}}
    asked = DataSeen(poll="look", polled_at="2026-01-01T12:00:00Z")
    policy, job = build.poll(schedule(jobTemplate=template), runtime(), asked, Settings(data_image="attune/data:1"))
    config, command, marks = pod_of(job)
    assert config.workload.dataset.train == ("s3://data/de.jsonl", "s3://data/fr.jsonl")
    assert config.known_data is None
    assert command[-1] == "poll"
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "attune/data:1"
    assert container["resources"]["requests"]["memory"] == Settings().preflight_memory
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    assert marks[SCHEDULE_ANNOTATION] == "weekly"
    assert job["metadata"]["ownerReferences"][0]["kind"] == "FineTuneSchedule"
    assert job["spec"]["ttlSecondsAfterFinished"] > 0
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= job["spec"]["template"]["metadata"]["labels"].items()
    assert policy["metadata"]["ownerReferences"] == job["metadata"]["ownerReferences"]


def test_the_pod_that_looks_at_training_data_is_told_what_was_found_last() -> None:
    asked = DataSeen(poll="look", polled_at="2026-01-01T12:00:00Z", digest="sha256:1", rows=7)
    config, _, _ = pod_of(build.poll(schedule(), runtime(), asked, Settings())[1])
    assert config.known_data == KnownData(digest="sha256:1", rows=7)


def test_the_pod_that_looks_at_versions_is_told_what_and_by_which_keys() -> None:
    monitor = {"cron": {"schedule": "0 * * * *"}, "source": "s3://data/fresh/", "credentialsSecret": "fresh-keys"}
    model = Model(monitor=monitor)
    model.run(1)
    model.step(at(hours=1))
    look = model.status.look
    assert look is not None
    policy, job = look_build.objects(tuned_model(model.status, monitor=monitor), runtime(), look, Settings())
    config, command, marks = pod_of(job)
    assert (command[-1], marks[TUNED_MODEL_ANNOTATION]) == ("monitor", "router")
    assert config.monitoring is not None
    assert (config.monitoring.source, config.monitoring.at) == ("s3://data/fresh/", "2026-01-01T13:00:00Z")
    assert [v.version for v in config.monitoring.variants] == ["1"]
    assert {role.value: keys.secret for role, keys in config.credentials.items()} == {
        "model": "model-store",
        "data": "fresh-keys",
        "output": "model-store",
    }
    assert config.workload.output.uri == "s3://models/out/"
    assert json.dumps([policy, job])


QUEUED = {"name": "team-a"}


def of_look(job: dict[str, Any]) -> tuple[str | None, str | None]:
    """GPUs that the pod of a look asks for, and the queue that it waits in."""
    limits = job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    return limits.get("nvidia.com/gpu"), job["metadata"]["labels"].get("kueue.x-k8s.io/queue-name")


def test_a_comparison_runs_where_the_version_s_own_run_did() -> None:
    model = Model()
    model.run(1)
    model.run(2, resources={"gpusPerNode": 2}, queue=QUEUED)
    look = model.status.look
    assert look is not None
    assert look.purpose == "Compare"
    _, job = look_build.objects(tuned_model(model.status), runtime(), look, Settings())
    assert of_look(job) == ("2", "team-a")
    assert job["spec"]["suspend"] is True
    assert job["spec"]["completions"] == 1


@pytest.mark.parametrize(
    ("monitor", "expected"),
    [({}, (None, None)), ({"resources": {"gpusPerNode": 1}, "queue": QUEUED}, ("1", "team-a"))],
    ids=["on CPU by default", "as its spec says"],
)
def test_the_monitor_runs_as_its_spec_says(monitor: dict[str, Any], expected: tuple[str | None, str | None]) -> None:
    asked = {"cron": {"schedule": "0 * * * *"}, "source": "s3://data/fresh/", **monitor}
    model = Model(monitor=asked)
    model.run(1, resources={"gpusPerNode": 8}, queue={"name": "production"})
    model.step(at(hours=1))
    assert model.status.look is not None
    _, job = look_build.objects(tuned_model(model.status, monitor=asked), runtime(), model.status.look, Settings())
    assert of_look(job) == expected


@pytest.mark.parametrize("method", Method)
def test_versions_of_every_method_can_be_looked_at(method: Method) -> None:
    asked = {"cron": {"schedule": "0 * * * *"}, "source": "s3://data/fresh/"}
    model = Model(monitor=asked)
    labels = {"classification": {"style": "Head", "labels": ["a", "b"]}} if method is Method.CLASSIFICATION else {}
    model.run(1, method=method.value, **labels)
    model.step(at(hours=1))
    assert model.status.look is not None
    found = look_build.objects(tuned_model(model.status, monitor=asked), runtime(), model.status.look, Settings())
    assert [o["kind"] for o in found] == ["NetworkPolicy", "Job"]

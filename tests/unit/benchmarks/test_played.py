import json
import re

import pytest
from benchmarks.played import outcome, stages

from attune_contract.enums import RUN_STAGES, OutcomeState, Stage
from attune_contract.outcome import Outcome

RUN_FOR = dict.fromkeys(RUN_STAGES, "1s")


@pytest.mark.parametrize("stage", RUN_STAGES, ids=str)
def test_a_played_pod_ends_with_an_outcome_of_its_own_run_and_attempt(stage: Stage) -> None:
    (played,) = [
        s for s in map(json.loads, stages(RUN_FOR)) if s["metadata"]["name"].startswith(f"pod-{stage.lower()}")
    ]
    template = played["spec"]["next"]["statusTemplate"]
    told = re.findall(r"message: (.*)", template)
    assert len(told) == (2 if stage is Stage.PREFLIGHT else 1), "preflight may find that data cannot be used"
    rendered = told[-1].replace('{{ index .metadata.labels "attune.dev/run" }}', "some-uid")
    rendered = rendered.replace('{{ index .metadata.labels "attune.dev/attempt" }}', "3")
    read = Outcome.loads(json.loads(rendered))
    assert read == outcome(stage, "some-uid", 3)
    assert read is not None
    assert read.state is OutcomeState.SUCCEEDED


def test_only_training_takes_longer_where_a_name_asks_for_it() -> None:
    delays = {
        stage["metadata"]["name"]: stage["spec"]["delay"]["durationFrom"]["jq"]["expression"]
        for stage in map(json.loads, stages(RUN_FOR, {"slow": "9s"}))
        if stage["metadata"]["name"].endswith("-done")
    }
    assert len(delays) == len(RUN_STAGES)
    assert {name for name, delay in delays.items() if '"9s"' in delay} == {"pod-train-done"}
    assert all(delay.count("if ") == delay.count(" end") for delay in delays.values())


def test_a_pod_that_is_deleted_ends_at_once_without_a_word_before_it_is_gone() -> None:
    (stop,) = [s["spec"] for s in map(json.loads, stages(RUN_FOR)) if s["metadata"]["name"] == "pod-told-to-stop"]
    assert "delay" not in stop
    assert stop["weight"] > 0, "else kwok may choose its own stage, which only deletes"
    assert {"key": ".metadata.deletionTimestamp", "operator": "Exists"} in stop["selector"]["matchExpressions"]
    template = stop["next"]["statusTemplate"]
    assert ("exitCode: 143" in template, "message:" in template) == (True, False)

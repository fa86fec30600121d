"""Which runs a soak has, and what is found untrue of them."""

from typing import Any

import pytest

from peril.soak import STAGES, Harm, Planned, SoakRow, growth, plan, untrue

JSON = dict[str, Any]
KEYS = ["manifest.json", "checkpoints/5/COMPLETE", "checkpoints/5/state/a"]


def job(*, good: bool = True, stages: list[str] = STAGES, reason: str = "Done", **attempt: Any) -> JSON:
    ends = {"Finished": True, "Succeeded": good, "Failed": not good}
    whole = {"state": "Succeeded", "reason": "Done", "endTime": "2026-01-02T03:04:05Z", **attempt}
    attempts = [{"stage": stage, "jobName": f"job-{stage}", **whole} for stage in stages]
    conditions = [{"type": name, "status": str(value), "reason": reason} for name, value in ends.items()]
    return {"status": {"conditions": conditions, "attempts": attempts, "message": "Said."}}


def run(harm: Harm) -> Planned:
    return Planned("run-1", 0, harm, 0)


def test_a_plan_follows_from_its_seed_and_has_all_kinds_of_harm() -> None:
    planned = plan(300, 60, seed=6)
    assert planned == plan(300, 60, seed=6) != plan(300, 60, seed=7)
    assert [p.at for p in planned[:3]] == [0, 12, 24]
    assert {p.harm for p in planned} == set(Harm)


@pytest.mark.parametrize(
    ("harm", "seen", "keys"),
    [
        pytest.param(Harm.KILL, job(), KEYS, id="succeeded"),
        pytest.param(Harm.DATA, job(good=False, stages=[], reason="InvalidData"), [], id="bad data"),
        pytest.param(Harm.REMOVE, None, [], id="removed"),
    ],
)
def test_what_ended_as_it_had_to_is_true(harm: Harm, seen: JSON | None, keys: list[str]) -> None:
    assert untrue(run(harm), seen, keys) == []


@pytest.mark.parametrize(
    ("harm", "seen", "keys", "says"),
    [
        pytest.param(Harm.NONE, job(good=False, reason="PodFailed"), KEYS, "Failed, PodFailed, not", id="failed"),
        pytest.param(Harm.DATA, job(), KEYS, "Succeeded, not Failed", id="bad data trained on"),
        pytest.param(Harm.KILL, job(stages=STAGES[:3]), KEYS, "stages that succeeded", id="a stage is missing"),
        pytest.param(Harm.KILL, job(endTime=""), KEYS, "does not say how it ended", id="an attempt without an end"),
        pytest.param(Harm.KILL, job(), KEYS[1:], "no manifest", id="no manifest"),
        pytest.param(Harm.KILL, job(), [*KEYS, "checkpoints/9/a"], "9 is not complete", id="partial checkpoint"),
        pytest.param(Harm.KILL, None, [], "nobody deleted it", id="gone"),
        pytest.param(Harm.REMOVE, None, ["data/a"], "files are still there", id="files left"),
    ],
)
def test_what_did_not_end_as_it_had_to_is_told(harm: Harm, seen: JSON | None, keys: list[str], says: str) -> None:
    assert says in " ".join(untrue(run(harm), seen, keys))


def test_memory_is_compared_once_it_is_warm() -> None:
    assert growth([1.0] * 20 + [100.0] * 40) == 1.0
    assert growth([100.0] * 40 + [120.0] * 20) == pytest.approx(1.2)
    assert growth([1.0] * 10) is None


def test_a_row_counts_ends_and_attempts() -> None:
    twice = job(stages=["Preflight", "Train", "Train", "Evaluate", "Publish"])
    assert SoakRow(Harm.KILL, (job(), twice)).line() == "| trainer killed | 2 | 2 Succeeded | 1 |"
    assert SoakRow(Harm.REMOVE, (None,)).line().endswith("| 1 | 1 deleted | 0 |")

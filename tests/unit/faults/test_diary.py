"""What logs tell of steps, and what that makes of a run that was struck."""

from typing import Any

import pytest

from peril.diary import Loss, Step, losses, read, wait
from peril.podresults import broken, quoted, row

AT = 1_767_323_045.0
"""2026-01-02T03:04:05Z."""


def step(at: float, attempt: int, number: int) -> Step:
    return Step(at, attempt, "run", number)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(
            "2026-01-02T03:04:05.250000000Z 2026-01-02 03:04:05,249 INFO step 7 of 600: loss 2.31",
            Step(AT + 0.25, 2, "run", 7),
            id="a step",
        ),
        pytest.param("2026-01-02T03:04:05Z INFO step 10 of 10: loss nan", Step(AT, 2, "run", 10), id="a whole second"),
        pytest.param("2026-01-02T03:04:05Z INFO going on from step 7", None, id="another line"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_a_line_of_a_log_tells_of_a_step_or_of_none(line: str, expected: Step | None) -> None:
    assert read(line, 2, "run") == expected


FIRST = [step(float(n), 1, n) for n in range(1, 11)]
SECOND = [step(20.0 + n, 2, n) for n in range(7, 12)]


@pytest.mark.parametrize(
    ("resumed", "expected"),
    [
        pytest.param(6, [Loss(4, 4.0)], id="from its checkpoint"),
        pytest.param(10, [], id="nothing is lost"),
        pytest.param(None, [Loss(10, 9.0)], id="from the beginning"),
    ],
)
def test_steps_after_the_checkpoint_are_done_again(resumed: int | None, expected: list[Loss]) -> None:
    trainings: list[dict[str, Any]] = [{"number": 1}, {"number": 2, "resumedFromStep": resumed}]
    assert losses([*SECOND, *FIRST], trainings) == expected


def test_an_attempt_that_trains_nothing_does_nothing_again() -> None:
    """Such as one that finds the whole result of an attempt that died after it."""
    assert losses(FIRST, [{"number": 1}, {"number": 2}]) == []


def test_the_next_step_is_that_of_the_next_attempt_where_there_is_one() -> None:
    assert wait([*FIRST, *SECOND], 9.5, 1) == 17.5, "steps that the struck attempt still does are not counted"
    assert wait(FIRST, 9.5, 1) == 0.5
    assert wait(FIRST, 10.5, 1) is None


def job(**status: Any) -> dict[str, Any]:
    ends = {"Finished": "True", "Succeeded": "True", "Failed": "False"}
    conditions = [{"type": name, "status": value, "reason": "x"} for name, value in ends.items()]
    return {"status": {"conditions": conditions, **status}}


def test_a_row_tells_how_the_run_ended_what_was_done_again_and_what_was_said() -> None:
    failed = {"stage": "Train", "number": 1, "state": "Failed", "reason": "ProcessLost", "message": "Killed."}
    done = {"stage": "Train", "number": 2, "state": "Succeeded", "reason": "Done", "resumedFromStep": 6, "message": "x"}
    line = row("SIGKILL", job(attempts=[failed, done]), [*FIRST, *SECOND], since=9.5).line()
    assert line == "| SIGKILL | Succeeded | 2: ProcessLost, Done | 4 | 17.5 s | “Killed.” |"


KEPT = {"stage": "Train", "number": 1, "jobName": "a-1", "reason": "Killed", "message": "Said.", "endTime": "T1"}
NEXT = {**KEPT, "number": 2, "jobName": "a-2", "startTime": "T2", "endTime": "T3", "resumedFromStep": 6}


@pytest.mark.parametrize(
    ("attempts", "jobs", "says"),
    [
        pytest.param([KEPT, NEXT], ["a-1", "a-2"], "", id="all kept"),
        pytest.param([KEPT, {**NEXT, "startTime": "T0"}], [], "a-2 began before a-1 had ended", id="overlap"),
        pytest.param([{**KEPT, "endTime": None}, NEXT], [], "a-2 began before a-1 had ended", id="no end"),
        pytest.param([{**KEPT, "message": ""}, NEXT], [], "a-1 does not say why", id="no message"),
        pytest.param([KEPT, {**NEXT, "resumedFromStep": 2}], [], "8 steps, 8.0 s", id="too much done again"),
        pytest.param([KEPT, NEXT], ["a-3"], "Job a-3 is of no attempt", id="a Job too many"),
    ],
)
def test_promises_that_are_not_kept_are_told(attempts: list[dict[str, Any]], jobs: list[str], says: str) -> None:
    found = " ".join(broken(job(attempts=attempts), jobs, [*FIRST, *SECOND], most_seconds=5))
    assert says in found if says else not found


def test_messages_are_quoted_without_what_differs_from_run_to_run() -> None:
    uid = "0a1b2c3d-0000-4000-8000-000000000000"
    text = f"Pod job-0a1b2c3d-train-1-x7k2p: s3://bucket/team-0a1b2c3d/out/runs/{uid}/data: http://10.0.0.1:7070/x"
    assert quoted(text) == "“Pod job-train-1: s3://…/data: http://store/x”"
    assert quoted("") == "nothing: the run goes on"

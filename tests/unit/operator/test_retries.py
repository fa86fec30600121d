"""Which attempt follows which, and when."""

from typing import Any

import pytest

from attune_contract.enums import Stage
from attune_operator.api.conditions import Reason
from attune_operator.api.enums import AttemptState
from attune_operator.finetunejob.plan import plan
from attune_operator.finetunejob.retries import wait_before_next
from factories import NOW, attempt, run, seen, stamp

S = AttemptState


def failed(number: int = 1, **fields: Any) -> Any:
    return attempt(
        Stage.TRAIN, **{"state": S.FAILED, "number": number, "reason": "PodFailed", "exit_code": 1, **fields}
    )


def disrupted(number: int = 1, **fields: Any) -> Any:
    return failed(number, reason=Reason.POD_DISRUPTED, exit_code=143, **fields)


LONG = {"held_since": "2026-01-02T01:00:00Z"}
"""NOW is two hours later."""


@pytest.mark.parametrize(
    ("record", "seconds"),
    [
        pytest.param((failed(),), 10, id="first failure"),
        pytest.param((failed(1), failed(2), failed(3)), 40, id="third in a row"),
        pytest.param(tuple(failed(n) for n in range(1, 20)), 300, id="never more than five minutes"),
        pytest.param((disrupted(),), 1, id="a disruption is followed almost at once"),
        pytest.param((disrupted(1), disrupted(2), disrupted(3)), 4, id="unless they come one after the other"),
        pytest.param((disrupted(1), disrupted(2), disrupted(3, **LONG)), 1, id="one that ran for long begins anew"),
        pytest.param((failed(1), failed(2), disrupted(3)), 1, id="a failure before it does not count"),
        pytest.param(
            (attempt(Stage.TRAIN, S.STOPPED, reason="Terminated", exit_code=30),), 1, id="stopped by a signal"
        ),
        pytest.param((attempt(Stage.TRAIN, S.STOPPED, reason=Reason.SUSPENDED),), 0, id="a pause that is over"),
        pytest.param((failed(reason=Reason.EVICTED_BY_QUEUE),), 1, id="evicted: its queue says when"),
        pytest.param(
            tuple(failed(n, reason=Reason.EVICTED_BY_QUEUE) for n in range(1, 12)),
            300,
            id="evicted again and again, as a gang that cannot start whole",
        ),
        pytest.param((attempt(Stage.TRAIN, S.STOPPED, reason=Reason.BUDGET_EXCEEDED),), 0, id="a budget that grew"),
        pytest.param(tuple(failed(n, state=S.BLOCKED) for n in range(1, 9)), 60, id="blocked: every minute"),
    ],
)
def test_the_wait_before_the_next_attempt(record: tuple[Any, ...], seconds: float) -> None:
    assert wait_before_next(record, NOW).total_seconds() == pytest.approx(seconds)


@pytest.mark.parametrize(
    "reason",
    [
        *(Reason.POD_DISRUPTED, Reason.JOB_LOST, Reason.NODE_LOST),
        *(Reason.EVICTED_BY_QUEUE, Reason.RUNTIME_CHANGED, Reason.BUDGET_EXCEEDED),
    ],
)
def test_what_is_nobodys_mistake_never_exhausts_the_retries(reason: Reason) -> None:
    before = attempt(Stage.PREFLIGHT, S.SUCCEEDED)
    record = tuple(failed(n, reason=reason, exit_code=None, ended_ago=10_000) for n in range(1, 9))
    decision = plan(seen(run=run(attempts=(before, *record), retryLimit=0)))
    assert decision.end is None
    assert decision.start is not None
    assert decision.start.number == 9


@pytest.mark.parametrize(
    ("reasons", "over"),
    [
        pytest.param(("OutcomeLost",), False, id="once: its Job completed, and it is told again"),
        pytest.param(("OutcomeLost", "PodDisrupted", "OutcomeLost"), False, id="once, and once more later"),
        pytest.param(("OutcomeLost", "OutcomeLost"), True, id="twice in a row"),
    ],
)
def test_a_result_that_was_lost_on_its_way_does_not_fail_a_run_that_may_not_fail(
    reasons: tuple[str, ...], over: bool
) -> None:
    record = tuple(failed(n, reason=r, exit_code=None, ended_ago=10_000) for n, r in enumerate(reasons, 1))
    decision = plan(seen(run=run(attempts=(attempt(Stage.PREFLIGHT, S.SUCCEEDED), *record), retryLimit=0)))
    assert (decision.end is not None) is over


def test_attempts_that_cost_are_kept_in_the_record_for_longer_than_those_that_did_not() -> None:
    before = attempt(Stage.PREFLIGHT, S.SUCCEEDED)
    dear = tuple(disrupted(n, ended_ago=10_000, held_since="2026-01-01T00:00:00Z") for n in range(1, 21))
    decision = plan(seen(run=run(attempts=(before, *dear))))
    assert len(decision.attempts) == 1 + 20 + 1
    assert decision.attempts[-1].start_time == stamp(NOW)

"""Whether an attempt that ended is followed by another, and when. Pure."""

from datetime import datetime, timedelta
from itertools import pairwise

from attune_contract.enums import FINAL_EXIT_CODES
from attune_operator.api.conditions import Reason
from attune_operator.api.enums import AttemptState
from attune_operator.api.finetunejob import Attempt

NOT_COUNTED = frozenset(
    {
        Reason.POD_DISRUPTED,
        Reason.JOB_LOST,
        Reason.NODE_LOST,
        Reason.EVICTED_BY_QUEUE,
        Reason.RUNTIME_CHANGED,
        Reason.BUDGET_EXCEEDED,
        Reason.SUSPENDED,
    }
)
"""Reasons that are nobody's mistake: they do not use up `spec.retryLimit`."""
_AT_ONCE = frozenset({Reason.SUSPENDED, Reason.RUNTIME_CHANGED, Reason.BUDGET_EXCEEDED})
"""Ends after which there is nothing to wait for: whoever caused it said when to go on."""
_FIRST = {AttemptState.FAILED: timedelta(seconds=10), AttemptState.BLOCKED: timedelta(seconds=10)}
_FIRST_DISRUPTED = timedelta(seconds=1)
_LONGEST = timedelta(minutes=5)
_LONGEST_BLOCKED = timedelta(minutes=1)
_HELD_LONG = timedelta(minutes=10)
"""An attempt that ran for so long had overcome whatever ended the ones before it: waiting begins anew."""


def counted(attempt: Attempt) -> bool:
    """Whether an attempt uses up `spec.retryLimit`: it failed, and not by the cluster's doing."""
    return attempt.state is AttemptState.FAILED and attempt.reason not in NOT_COUNTED


def is_final(attempt: Attempt) -> bool:
    """Whether the same attempt would only fail again."""
    if attempt.reason in NOT_COUNTED:
        return False  # whatever its exit code was, it was not the stage that ended it
    return attempt.exit_code in FINAL_EXIT_CODES or attempt.reason == Reason.OUT_OF_MEMORY


def failures(attempts: tuple[Attempt, ...]) -> int:
    """Failures of the newest attempt's stage that count against `spec.retryLimit`.

    A result that was lost on its way once is nobody's mistake, for its Job completed; twice in a row is.
    """
    stage = [a for a in attempts if a.stage == attempts[-1].stage]
    lost = [a.reason == Reason.OUTCOME_LOST for a in stage]
    excused = sum(now and not before for before, now in pairwise([False, *lost]))
    return sum(counted(a) for a in stage) - excused


def wait_before_next(attempts: tuple[Attempt, ...], now: datetime) -> timedelta:
    """How long until the next attempt may start: longer after each end in a row, hardly at all after a disruption."""
    last = attempts[-1]
    if last.reason in _AT_ONCE:
        return timedelta()
    first = _FIRST_DISRUPTED if _excused(last) else _FIRST.get(last.state, _FIRST_DISRUPTED)
    longest = _LONGEST_BLOCKED if last.state is AttemptState.BLOCKED else _LONGEST
    backoff = min(longest, first * 2.0 ** min(_in_a_row(attempts) - 1, 10))
    ended = datetime.fromisoformat(last.end_time or last.start_time)
    # The end is by the node's clock: one that is ahead must not stretch the wait.
    return min(backoff, ended + backoff - now)


def _excused(attempt: Attempt) -> bool:
    return attempt.state is not AttemptState.BLOCKED and not counted(attempt)


def _in_a_row(attempts: tuple[Attempt, ...]) -> int:
    """Attempts of the newest one's kind before it, without one that ran for long, and itself."""
    last, count = attempts[-1], 0
    for attempt in reversed(attempts):
        alike = attempt.stage == last.stage and attempt.state is last.state and _excused(attempt) == _excused(last)
        if not alike or (count and _long(attempt)):
            break
        count += 1
        if _long(attempt):
            break
    return count


def _long(attempt: Attempt) -> bool:
    if attempt.held_since is None or attempt.end_time is None:
        return False
    return datetime.fromisoformat(attempt.end_time) - datetime.fromisoformat(attempt.held_since) > _HELD_LONG

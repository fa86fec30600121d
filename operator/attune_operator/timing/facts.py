"""The three conditions of objects that are never over: Ready, Reconciling, Stalled (kstatus). Pure.

Such an object is Ready while what it says is being kept; a run that goes on for hours is no reason for a GitOps tool to
wait, so Reconciling is True only while something is about to be made.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from attune_operator.api.conditions import ConditionType, Reason
from attune_operator.api.meta import Condition
from attune_operator.api.problems import FieldProblem


@dataclass(frozen=True)
class State:
    """How an object is."""

    reason: str
    message: str
    stalled: bool = False
    """A person must act."""
    working: bool = False
    """Something is about to be made."""


def invalid(problems: Iterable[FieldProblem]) -> State:
    """The state of an object whose spec cannot be used."""
    return State(Reason.INVALID_SPEC, " ".join(str(p) for p in problems), stalled=True)


def conditions(state: State, before: Iterable[Condition], generation: int, now: str) -> tuple[Condition, ...]:
    """The conditions of an object; one whose status did not change keeps its time.

    Args:
        state: how it is.
        before: its conditions as they were read.
        generation: of the spec that was judged.
        now: RFC 3339, UTC.
    """
    holds = {
        ConditionType.READY: not state.stalled and not state.working,
        ConditionType.RECONCILING: state.working,
        ConditionType.STALLED: state.stalled,
    }
    known = {c.type: c for c in before}
    made = (_condition(kind, value, state, generation) for kind, value in holds.items())
    return tuple(_dated(c, known.get(c.type), now) for c in made)


def _condition(kind: ConditionType, value: bool, state: State, generation: int) -> Condition:
    return Condition(
        type=kind,
        status="True" if value else "False",
        reason=state.reason,
        message=state.message,
        observed_generation=generation,
        last_transition_time="",
    )


def _dated(condition: Condition, before: Condition | None, now: str) -> Condition:
    same = before is not None and before.status == condition.status
    return condition.model_copy(
        update={"last_transition_time": before.last_transition_time if before is not None and same else now}
    )

"""The conditions of a run, each from the record of attempts and the plan. Pure.

All twelve are on the object from the first write on, so that whoever waits for one never has to ask if it exists.
Reconciling, Stalled and Ready follow kstatus (cli-utils), which Argo CD and Flux judge by.
"""

from dataclasses import dataclass

from attune_contract.enums import Stage, Verdict
from attune_operator.api.conditions import ConditionType, Reason
from attune_operator.api.enums import Approval, AttemptState
from attune_operator.api.finetunejob import Attempt, Evaluation
from attune_operator.api.meta import Condition
from attune_operator.finetunejob.attempts import OPEN
from attune_operator.finetunejob.gate import judge
from attune_operator.finetunejob.plan import Plan
from attune_operator.finetunejob.snapshot import Snapshot


@dataclass(frozen=True)
class Fact:
    """A condition without its bookkeeping."""

    status: str
    reason: str
    message: str


UNKNOWN_YET = Fact("Unknown", Reason.NOT_STARTED, "Not begun.")


def conditions(seen: Snapshot, plan: Plan, evaluation: Evaluation | None, now: str) -> tuple[Condition, ...]:
    """Every condition of a run; one whose status did not change keeps its time.

    Args:
        seen: the run as it was read.
        plan: what was decided.
        evaluation: the evaluation as it stands, for the gate.
        now: RFC 3339, UTC.
    """
    facts = {
        ConditionType.VALIDATED: _stage(plan, Stage.PREFLIGHT),
        ConditionType.APPROVED: _approved(seen),
        ConditionType.TRAINED: _stage(plan, Stage.TRAIN),
        ConditionType.EVALUATED: _stage(plan, Stage.EVALUATE),
        ConditionType.GATE_PASSED: _gate(seen, evaluation),
        ConditionType.PUBLISHED: _published(seen, plan, evaluation),
        **_terminal(plan),
        ConditionType.RECONCILING: _reconciling(plan),
        ConditionType.STALLED: _stalled(plan),
        ConditionType.READY: _ready(plan),
    }
    before = {c.type: c for c in seen.run.status.conditions}
    return tuple(_dated(kind, fact, before.get(kind), seen, now) for kind, fact in facts.items())


def _dated(kind: ConditionType, fact: Fact, before: Condition | None, seen: Snapshot, now: str) -> Condition:
    same = before is not None and before.status == fact.status
    return Condition(
        type=kind,
        status=fact.status,
        reason=fact.reason,
        message=fact.message,
        observed_generation=seen.run.metadata.generation,
        last_transition_time=before.last_transition_time if before is not None and same else now,
    )


def _stage(plan: Plan, stage: Stage) -> Fact:
    """True once an attempt at the stage succeeded, False while the newest failed, Unknown before."""
    mine = [a for a in plan.attempts if a.stage is stage]
    if not mine:
        return UNKNOWN_YET
    if done := next((a for a in mine if a.state is AttemptState.SUCCEEDED), None):
        return Fact("True", Reason.DONE, done.message or f"{stage} is done.")
    last = mine[-1]
    if last.state in OPEN:
        return Fact("Unknown", Reason.RUNNING, f"Attempt {last.number} is under way in Job {last.job_name}.")
    return Fact("False", last.reason or Reason.POD_FAILED, last.message)


def _approved(seen: Snapshot) -> Fact:
    if seen.spec_problems:
        return UNKNOWN_YET
    if seen.run.spec.approval is Approval.AUTO:
        return Fact("True", Reason.NOT_REQUIRED, "spec.approval is Auto.")
    if seen.run.spec.approved:
        return Fact("True", Reason.DONE, "spec.approved is true.")
    return Fact(
        "False", Reason.AWAITING_APPROVAL, "Set spec.approved to true once preflight's findings are good enough."
    )


def _gate(seen: Snapshot, evaluation: Evaluation | None) -> Fact:
    if evaluation is None or not evaluation.results:
        return UNKNOWN_YET
    verdict, reason, message = judge(seen.run.spec.evaluation, tuple(evaluation.results), evaluation.checks)
    return Fact("True" if verdict is Verdict.PASSED else "False", reason, message)


def _published(seen: Snapshot, plan: Plan, evaluation: Evaluation | None) -> Fact:
    """As the stage went; where the gate did not pass there is none."""
    begun = any(a.stage is Stage.PUBLISH for a in plan.attempts)
    gate = _gate(seen, evaluation)
    if begun or gate.status != "False":
        return _stage(plan, Stage.PUBLISH)
    return Fact("False", gate.reason, "Not published: the gate did not pass. The run's files stay.")


def _terminal(plan: Plan) -> dict[ConditionType, Fact]:
    if plan.end is None:
        going = Fact("False", Reason.PROGRESSING, "The run has not ended.")
        return dict.fromkeys((ConditionType.SUCCEEDED, ConditionType.FAILED, ConditionType.FINISHED), going)
    end = plan.end
    yes, no = Fact("True", end.reason, end.message), Fact("False", end.reason, end.message)
    return {
        ConditionType.SUCCEEDED: yes if end.succeeded else no,
        ConditionType.FAILED: no if end.succeeded else yes,
        ConditionType.FINISHED: yes,
    }


def _reconciling(plan: Plan) -> Fact:
    if plan.end is not None:
        return Fact("False", plan.end.reason, "The run has ended.")
    if plan.hold is not None:
        return Fact("False" if plan.hold.stalled else "True", plan.hold.reason, plan.hold.message)
    return Fact("True", Reason.PROGRESSING, _doing(plan.attempts))


def _stalled(plan: Plan) -> Fact:
    if plan.end is not None and not plan.end.succeeded:
        return Fact("True", plan.end.reason, plan.end.message)
    if plan.hold is not None and plan.hold.stalled:
        return Fact("True", plan.hold.reason, plan.hold.message)
    return Fact("False", Reason.PROGRESSING, "Nothing is in the way.")


def _ready(plan: Plan) -> Fact:
    if plan.end is not None:
        return Fact("True" if plan.end.succeeded else "False", plan.end.reason, plan.end.message)
    return Fact("False", Reason.PROGRESSING, "The run has not ended.")


def _doing(attempts: tuple[Attempt, ...]) -> str:
    if not attempts:
        return "The run is about to begin."
    return f"{attempts[-1].stage}, attempt {attempts[-1].number}."

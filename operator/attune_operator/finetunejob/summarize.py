"""The status of a run, whole, from the snapshot and the plan. Pure; the same input gives the same bytes."""

from attune_contract.enums import Stage, Verdict
from attune_contract.outcome import Artifact, Outcome
from attune_operator.api.conditions import Reason
from attune_operator.api.enums import AttemptState, Phase
from attune_operator.api.finetunejob import (
    Cost,
    Estimate,
    Evaluation,
    FineTuneJobStatus,
    OutputStatus,
    ProgressStatus,
    Summary,
)
from attune_operator.finetunejob.conditions import conditions
from attune_operator.finetunejob.cost import cost
from attune_operator.finetunejob.estimate import estimate
from attune_operator.finetunejob.gate import judge
from attune_operator.finetunejob.plan import Plan
from attune_operator.finetunejob.snapshot import Snapshot
from attune_operator.settings import Settings
from attune_operator.timing.moments import stamp

_PHASE_OF_STAGE = {
    Stage.PREFLIGHT: Phase.VALIDATING,
    Stage.TRAIN: Phase.TRAINING,
    Stage.EVALUATE: Phase.EVALUATING,
    Stage.PUBLISH: Phase.PUBLISHING,
}
_PHASE_OF_HOLD: dict[str, Phase] = {
    Reason.AWAITING_APPROVAL: Phase.AWAITING_APPROVAL,
    Reason.SUSPENDED: Phase.SUSPENDED,
    Reason.WAITING: Phase.QUEUED,
    Reason.QUEUE_REFUSED: Phase.QUEUED,
    Reason.BUDGET_EXCEEDED: Phase.SUSPENDED,
}


def summarize(seen: Snapshot, plan: Plan, settings: Settings) -> FineTuneJobStatus:
    """What the FineTuneJob's status shall be.

    Args:
        seen: the run as it was read; its old status is the memory of what earlier stages said.
        plan: what was decided.
        settings: sizes of the CPU stages, for the cost.
    """
    old, outcome = seen.run.status, plan.outcome
    now = stamp(seen.now)
    evaluation = _evaluation(seen, outcome)
    progress = _progress(seen, plan)
    spent = _cost(seen, plan, settings)
    expected = estimate(seen, plan.attempts, outcome, settings)
    return old.model_copy(
        update={
            "observed_generation": seen.run.metadata.generation,
            "phase": _phase(plan),
            "message": _message(plan, progress, expected),
            "run_id": seen.run.metadata.uid,
            "conditions": conditions(seen, plan, evaluation, now),
            "validation": (outcome and outcome.validation) or old.validation,
            "estimate": expected,
            "attempts": plan.attempts,
            "artifacts": _artifacts(old.artifacts, outcome),
            "evaluation": evaluation,
            "progress": progress,
            "cost": spent,
            "output": _output(old.output, outcome),
            "summary": _summary(progress, evaluation, spent),
            "start_time": old.start_time or now,
            "completion_time": now if plan.end else None,
        }
    )


def _phase(plan: Plan) -> Phase:
    if plan.end is not None:
        return Phase.SUCCEEDED if plan.end.succeeded else Phase.FAILED
    if plan.hold is not None and plan.hold.reason in _PHASE_OF_HOLD:
        return _PHASE_OF_HOLD[plan.hold.reason]
    if plan.hold is not None and (plan.hold.stalled or plan.hold.reason == Reason.UNSCHEDULABLE):
        return Phase.PENDING
    return _PHASE_OF_STAGE[plan.attempts[-1].stage] if plan.attempts else Phase.PENDING


def _message(plan: Plan, progress: ProgressStatus | None, expected: Estimate | None) -> str:
    if plan.end is not None:
        return plan.end.message
    if plan.hold is not None:
        return plan.hold.message
    last = plan.attempts[-1]
    if last.state is AttemptState.PENDING:
        told = f" Estimate: {expected.in_words}." if expected and last.stage is Stage.TRAIN else ""
        return f"{last.stage}: Job {last.job_name} is starting.{told}"
    if last.stage is Stage.TRAIN and progress is not None and progress.total_steps:
        return f"step {progress.step} of {progress.total_steps}{_left(progress)}"
    if last.stage is Stage.EVALUATE and progress is not None and progress.eta_seconds is not None:
        return f"Evaluate: {progress.percent} % done{_left(progress)}"
    return f"{last.stage}: Job {last.job_name} is running."


def _left(progress: ProgressStatus) -> str:
    return f", {span(progress.eta_seconds)} left" if progress.eta_seconds else ""


def span(seconds: float) -> str:
    """A length of time in words: `45 seconds`, `4 minutes`, `3.2 hours`."""
    if seconds < 90:  # noqa: PLR2004 - under a minute and a half, seconds say more
        return f"{int(seconds)} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"  # noqa: PLR2004 - as above


def _progress(seen: Snapshot, plan: Plan) -> ProgressStatus | None:
    """The newest sample; loss and learning rate of training stay to be seen while the evaluation counts its rows."""
    old = seen.run.status.progress
    if plan.outcome and (stopped := _stopped(plan.outcome, old, stamp(seen.now))):
        return stopped
    trained = plan.outcome.training if plan.outcome else None
    if trained is not None:
        kept = {"loss": trained.train_loss, "learning_rate": old.learning_rate if old else None}
        return ProgressStatus(
            step=trained.steps,
            total_steps=trained.steps,
            percent=100,
            epoch=trained.epochs,
            tokens_per_second=round(trained.tokens / trained.seconds, 1) if trained.seconds else None,
            checkpoint_step=old.checkpoint_step if old else None,
            checkpoint_seconds=old.checkpoint_seconds if old else None,
            updated_at=stamp(seen.now),
            **kept,
        )
    if plan.end is not None and plan.end.succeeded and old is not None:
        return old.model_copy(update={"percent": 100, "eta_seconds": None})
    return _sampled(seen, plan, old)


def _sampled(seen: Snapshot, plan: Plan, old: ProgressStatus | None) -> ProgressStatus | None:
    """What a running pod said just now, or what was known before."""
    last = plan.attempts[-1] if plan.attempts else None
    sample = seen.progress
    if sample is None or last is None or sample.stage is not last.stage or sample.attempt != last.number:
        return old
    if sample.stage is Stage.EVALUATE and old is not None:
        eta = int(sample.eta_seconds) if sample.eta_seconds is not None else None
        return old.model_copy(update={"percent": sample.percent, "eta_seconds": eta, "updated_at": stamp(seen.now)})
    if sample.stage is not Stage.TRAIN:
        return old
    return ProgressStatus(
        step=sample.step,
        total_steps=sample.total_steps,
        percent=sample.percent,
        epoch=sample.epoch,
        loss=sample.loss,
        learning_rate=sample.learning_rate,
        tokens_per_second=sample.tokens_per_second,
        eta_seconds=int(sample.eta_seconds) if sample.eta_seconds is not None else None,
        checkpoint_step=sample.checkpoint_step or (old.checkpoint_step if old else None),
        checkpoint_seconds=_longest(sample.checkpoint_seconds, old.checkpoint_seconds if old else None),
        updated_at=stamp(seen.now),
    )


def _stopped(outcome: Outcome, old: ProgressStatus | None, now: str) -> ProgressStatus | None:
    """Of training that ended before its end: where another attempt goes on."""
    step = checkpoint_step(outcome.checkpoint.path) if outcome.checkpoint else None
    if step is None:
        return None
    return (old or ProgressStatus(updated_at=now)).model_copy(update={"checkpoint_step": step, "eta_seconds": None})


def _longest(*measured: float | None) -> float | None:
    """The grace period goes by the slowest checkpoint that was seen."""
    return max((round(seconds, 1) for seconds in measured if seconds is not None), default=None)


def checkpoint_step(path: str) -> int | None:
    """The step of a checkpoint's folder, or None where the path is none."""
    name = path.strip("/").rpartition("/")[2]
    return int(name) if name.isdecimal() else None


def _evaluation(seen: Snapshot, outcome: Outcome | None) -> Evaluation | None:
    if outcome is None or not outcome.evaluation:
        return seen.run.status.evaluation
    verdict, _, _ = judge(seen.run.spec.evaluation, outcome.evaluation, outcome.checks)
    return Evaluation(
        verdict=Verdict(verdict),
        results=outcome.evaluation,
        checks=outcome.checks,
        report_uri=outcome.report_uri,
    )


def _artifacts(old: tuple[Artifact, ...], outcome: Outcome | None) -> tuple[Artifact, ...]:
    if outcome is None or not outcome.artifacts:
        return tuple(old)
    return (*(a for a in old if a.stage is not outcome.stage), *outcome.artifacts)


def _output(old: OutputStatus | None, outcome: Outcome | None) -> OutputStatus | None:
    if outcome is None or outcome.model_uri is None:
        return old
    return OutputStatus(model_uri=outcome.model_uri, digest=outcome.digest, manifest_uri=outcome.manifest_uri)


def _cost(seen: Snapshot, plan: Plan, settings: Settings) -> Cost | None:
    if seen.runtime is None or not plan.attempts:
        return seen.run.status.cost
    return cost(seen.run, seen.runtime, plan.attempts, seen.now, settings)


def _summary(progress: ProgressStatus | None, evaluation: Evaluation | None, spent: Cost | None) -> Summary:
    """The strings of the printer columns, which can show a path but not compute."""
    first = evaluation.results[0] if evaluation and evaluation.results else None
    return Summary(
        progress=f"{progress.percent}%" if progress else None,
        eta=span(progress.eta_seconds) if progress and progress.eta_seconds else None,
        loss=f"{progress.loss:.4g}" if progress and progress.loss is not None else None,
        score=f"{first.value:.2f}→{first.tuned:.2f}" if first else None,
        cost=f"{spent.amount} {spent.currency}" if spent else None,
    )

"""What a run needs next: one decision from one snapshot. Pure, and never from `status.phase`.

Read `plan` as a list of questions in order; the first that has an answer ends it.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from attune_contract.enums import Stage, Verdict
from attune_contract.outcome import Outcome
from attune_contract.uris import is_allowed
from attune_operator import naming
from attune_operator.api.conditions import ConditionType, Reason
from attune_operator.api.enums import Approval, AttemptState
from attune_operator.api.finetunejob import Attempt, FineTuneJob, FineTuneJobSpec
from attune_operator.api.support import unsupported
from attune_operator.finetunejob.attempts import (
    Settled,
    counted,
    failures,
    is_final,
    settle,
    suspended,
    wait_before_next,
)
from attune_operator.finetunejob.estimate import known
from attune_operator.finetunejob.gate import judge
from attune_operator.finetunejob.snapshot import Snapshot, stamp
from attune_operator.finetunejob.waiting import Hold, why_waiting

STAGES = (Stage.PREFLIGHT, Stage.TRAIN, Stage.EVALUATE, Stage.PUBLISH)
PROGRESS_SECONDS = 10.0
PENDING_SECONDS = 5.0
STALLED_SECONDS = 60.0
KEPT_UNCOUNTED = 5
SHOW_BLOCKED_SECONDS = 30.0
"""What is missing is found missing again within seconds; until then the status keeps saying what it was."""


@dataclass(frozen=True)
class End:
    """The run is over."""

    succeeded: bool
    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    """One decision: the record of attempts as it shall be, and what is to be done in the cluster for it."""

    attempts: tuple[Attempt, ...] = ()
    outcome: Outcome | None = None
    """What the attempt that ended just now said."""
    start: Attempt | None = None
    """The attempt whose Job must exist."""
    stop: Attempt | None = None
    """The attempt whose Job must go; its outcome is already in `attempts`."""
    hold: Hold | None = None
    end: End | None = None
    again: float | None = None
    """Seconds until another look is due without any event."""

    def held(self, hold: Hold) -> "Plan":
        """The same plan, held up by something that was met while it was carried out."""
        return replace(self, hold=hold, again=STALLED_SECONDS)


def plan(seen: Snapshot) -> Plan:
    """Decides what the run needs next.

    Args:
        seen: everything known about the run.

    Returns:
        The decision. For a run that is over it is empty: a run is never restarted once terminal.
    """
    if is_terminal(seen.run):
        return Plan(attempts=tuple(seen.run.status.attempts))
    if hold := _bad_spec(seen):
        return Plan(attempts=tuple(seen.run.status.attempts), hold=hold)
    settled = settle(seen)
    if settled.open is None:
        return _next(seen, settled)
    if seen.run.spec.suspend:
        return _suspend(settled, settled.open, seen.now)
    return _tend(seen, settled, settled.open)


def is_terminal(run: FineTuneJob) -> bool:
    """Whether the run has its result; what is terminal stays so."""
    return any(c.type == ConditionType.FINISHED and c.status == "True" for c in run.status.conditions)


def _bad_spec(seen: Snapshot) -> Hold | None:
    if seen.spec_problems:
        return Hold(Reason.INVALID_SPEC, " ".join(f"{p.path}: {p.message}" for p in seen.spec_problems))
    if problems := unsupported(seen.run.spec):
        return Hold(Reason.NOT_SUPPORTED, " ".join(f"{p.path}: {p.message}" for p in problems))
    return None


def _tend(seen: Snapshot, settled: Settled, attempt: Attempt) -> Plan:
    """An attempt is under way: see that its Job exists, and find out why it does not run if it does not."""
    if seen.job is None and not seen.pods:
        if hold := _not_yet(seen, attempt.stage):
            return Plan(attempts=settled.attempts, hold=hold, again=STALLED_SECONDS)
        return Plan(attempts=settled.attempts, start=attempt, again=PENDING_SECONDS)
    running = attempt.state is AttemptState.RUNNING
    return Plan(
        attempts=settled.attempts,
        hold=why_waiting(seen.job, seen.pods, seen.warnings) or _still_blocked(seen, settled.attempts),
        again=PROGRESS_SECONDS if running else PENDING_SECONDS,
    )


def _still_blocked(seen: Snapshot, attempts: tuple[Attempt, ...]) -> Hold | None:
    """While an attempt looks again for what was missing, the run still is what it was: blocked."""
    if len(attempts) < 2:  # noqa: PLR2004 - the attempt and the one before
        return None
    before, attempt = attempts[-2:]
    age = (seen.now - datetime.fromisoformat(attempt.start_time)).total_seconds()
    fresh = before.stage is attempt.stage and age < SHOW_BLOCKED_SECONDS
    return _backoff(before) if fresh and before.state is AttemptState.BLOCKED else None


def _suspend(settled: Settled, attempt: Attempt, now: datetime) -> Plan:
    message = "Suspended by spec.suspend; the stage starts again from its last complete checkpoint when it is false."
    stopped = attempt.model_copy(
        update={
            "state": AttemptState.STOPPED,
            "reason": Reason.SUSPENDED,
            "message": message,
            "end_time": stamp(now),
        }
    )
    return Plan(attempts=(*settled.attempts[:-1], stopped), stop=stopped, hold=_suspended())


def _suspended() -> Hold:
    return Hold(Reason.SUSPENDED, "Suspended: set spec.suspend to false to go on.", stalled=False)


def _next(seen: Snapshot, settled: Settled) -> Plan:
    """No attempt is under way: end, wait, or start the next."""
    done = Plan(attempts=settled.attempts, outcome=settled.outcome)
    if suspended(settled.last) and (seen.job or seen.pods):
        # Recorded, but not gone yet: its pods have their grace period, and the operator may have died before it asked.
        asked = seen.job is None or seen.job.deleting
        return replace(done, stop=None if asked else settled.last, hold=_suspended(), again=PENDING_SECONDS)
    stage = _stage(settled.attempts)
    if stage is None or (stage is Stage.PUBLISH and not _may_publish(seen, settled)):
        return replace(done, end=End(True, Reason.SUCCEEDED, _success(seen, settled, published=stage is None)))
    last = settled.last
    if last is not None and last.state is not AttemptState.SUCCEEDED and (end := _over(seen, settled, last)):
        return replace(done, end=end)
    if hold := _not_yet(seen, stage, settled.outcome):
        return replace(done, hold=hold, again=STALLED_SECONDS if hold.stalled else None)
    if last is not None and last.state is not AttemptState.SUCCEEDED:
        wait = wait_before_next(settled.attempts, seen.now).total_seconds()
        if wait > 0:
            return replace(done, hold=_backoff(last), again=wait)
    started = _new_attempt(seen, settled.attempts, stage)
    blocked = last is not None and last.state is AttemptState.BLOCKED
    return replace(
        done,
        attempts=(*_trimmed(settled.attempts), started),
        start=started,
        stop=last if blocked else None,  # one dead pod a minute for a Secret that is missing for days would be many
        hold=_backoff(last) if last is not None and blocked else None,
        again=PENDING_SECONDS,  # the next look is at the Job's own events; this one is for a watch that misses them
    )


def _trimmed(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    """The record without all but the newest attempts that count for nothing: days of waiting must not fill etcd."""
    spare = [a for a in attempts if a.state is not AttemptState.SUCCEEDED and not counted(a)]
    dropped = {(a.stage, a.number) for a in spare[:-KEPT_UNCOUNTED]}
    return tuple(a for a in attempts if (a.stage, a.number) not in dropped)


def _stage(attempts: tuple[Attempt, ...]) -> Stage | None:
    """The first stage that has not succeeded."""
    succeeded = {a.stage for a in attempts if a.state is AttemptState.SUCCEEDED}
    return next((s for s in STAGES if s not in succeeded), None)


def _may_publish(seen: Snapshot, settled: Settled) -> bool:
    """A model whose gate did not pass keeps its run's files, and is not published."""
    asked, outcome, before = seen.run.spec.evaluation, settled.outcome, seen.run.status.evaluation
    found = outcome if outcome is not None and outcome.evaluation else None
    results = found.evaluation if found else before.results if before else ()
    checks = found.checks if found else before.checks if before else None
    verdict, _, _ = judge(asked, tuple(results), checks)
    return verdict is Verdict.PASSED


def _over(seen: Snapshot, settled: Settled, last: Attempt) -> End | None:
    """Whether no further attempt shall be made after this one failed."""
    if last.state is not AttemptState.FAILED:
        return None
    if is_final(last):
        return End(False, last.reason or Reason.POD_FAILED, last.message)
    count, limit = failures(settled.attempts), seen.run.spec.retry_limit
    if count > limit:
        message = f"{last.stage} failed {count} times (spec.retryLimit is {limit}). The last time: {last.message}"
        return End(False, Reason.RETRIES_EXHAUSTED, message)
    return None


def _backoff(last: Attempt) -> Hold:
    blocked = last.state is AttemptState.BLOCKED
    then = " It is looked for again by itself." if blocked else " Another attempt follows."
    return Hold(last.reason or Reason.POD_FAILED, last.message + then, stalled=blocked)


def _not_yet(seen: Snapshot, stage: Stage, outcome: Outcome | None = None) -> Hold | None:
    """What keeps the next stage from starting: pause, approval, or something that only a person can mend."""
    spec = seen.run.spec
    if spec.suspend:
        return _suspended()
    if stage is Stage.TRAIN and spec.approval is Approval.REQUIRED and not spec.approved:
        expected = known(seen, outcome)
        told = f" Training is estimated at {expected.in_words}." if expected else ""
        message = f"Preflight is done.{told} Set spec.approved to true to train."
        return Hold(Reason.AWAITING_APPROVAL, message, stalled=False)
    if seen.runtime_problems:
        return Hold(Reason.RUNTIME_INVALID, " ".join(f"{p.path}: {p.message}" for p in seen.runtime_problems))
    if seen.runtime is None:
        message = (
            f"spec.runtime: there is no TuningRuntime named {spec.runtime!r}; `kubectl get tuningruntimes` lists them."
        )
        return Hold(Reason.RUNTIME_NOT_FOUND, message)
    if not seen.runtime.selects(seen.namespace_labels):
        message = (
            f"spec.runtime: TuningRuntime {spec.runtime!r} does not admit namespace "
            f"{seen.run.metadata.namespace!r}: its spec.namespaces does not match the namespace's labels."
        )
        return Hold(Reason.NAMESPACE_NOT_ALLOWED, message)
    return _outside_allowed(seen)


def _outside_allowed(seen: Snapshot) -> Hold | None:
    spec, allowed = seen.run.spec, seen.runtime.spec.allowed_uris if seen.runtime else ()
    used = {"spec.model.source": spec.model.source, "spec.output.uri": spec.output.uri}
    used |= {f"spec.dataset.train[{i}]": uri for i, uri in enumerate(spec.dataset.train)}
    used |= {f"spec.dataset.test[{i}]": uri for i, uri in enumerate(spec.dataset.test)}
    used |= _of_evaluation(spec)
    outside = [f"{path}: {uri}" for path, uri in used.items() if not is_allowed(uri, tuple(allowed))]
    if not outside:
        return None
    message = f"TuningRuntime {spec.runtime!r} allows only {', '.join(allowed)}. Not below these: {'; '.join(outside)}"
    return Hold(Reason.URI_NOT_ALLOWED, message)


def _of_evaluation(spec: FineTuneJobSpec) -> dict[str, str]:
    """What the evaluation reads beside model and data, by field."""
    asked = spec.evaluation
    named = {f"spec.evaluation.baselines[{i}].source": b.source for i, b in enumerate(asked.baselines)}
    named |= {f"spec.evaluation.metrics[{i}].ratings": m.ratings for i, m in enumerate(asked.metrics or ())}
    general = asked.forgetting.dataset if asked.forgetting else ()
    named |= {f"spec.evaluation.forgetting.dataset[{i}]": uri for i, uri in enumerate(general)}
    return {path: uri for path, uri in named.items() if uri is not None}


def _new_attempt(seen: Snapshot, attempts: tuple[Attempt, ...], stage: Stage) -> Attempt:
    number = 1 + max((a.number for a in attempts if a.stage == stage), default=0)
    meta = seen.run.metadata
    return Attempt(
        stage=stage,
        number=number,
        job_name=naming.job_name(meta.name, meta.uid, stage, number),
        state=AttemptState.PENDING,
        start_time=stamp(seen.now),
    )


def _success(seen: Snapshot, settled: Settled, *, published: bool) -> str:
    if not published:
        return "The gate did not pass, so the model is not published; condition GatePassed says why. Its files stay."
    outcome = settled.outcome
    uri = (outcome.model_uri if outcome else None) or (
        seen.run.status.output.model_uri if seen.run.status.output else ""
    )
    return f"The tuned model is at {uri}"

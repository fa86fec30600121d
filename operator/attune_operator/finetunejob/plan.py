"""What a run needs next: one decision from one snapshot. Pure, and never from `status.phase`.

Read `plan` as a list of questions in order; the first that has an answer ends it.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from attune_contract.enums import RUN_STAGES, Stage, Verdict
from attune_contract.outcome import Outcome
from attune_operator import naming
from attune_operator.api.conditions import ConditionType, Reason
from attune_operator.api.enums import AttemptState
from attune_operator.api.finetunejob import Attempt, FineTuneJob
from attune_operator.finetunejob.attempts import Settled, age, ended, settle
from attune_operator.finetunejob.cost import held_seconds
from attune_operator.finetunejob.early import early
from attune_operator.finetunejob.gate import judge
from attune_operator.finetunejob.leftovers import leaving
from attune_operator.finetunejob.obstacles import bad_spec, not_yet, suspended_hold
from attune_operator.finetunejob.registering import champion_for
from attune_operator.finetunejob.retries import counted, failures, is_final, wait_before_next
from attune_operator.finetunejob.snapshot import JobState, PodView, Snapshot
from attune_operator.finetunejob.waiting import Hold, why_waiting
from attune_operator.settings import Settings
from attune_operator.timing.moments import stamp

PROGRESS_SECONDS = 10.0
PENDING_SECONDS = 5.0
QUEUED_SECONDS = 60.0
STALLED_SECONDS = 60.0
KEPT_UNCOUNTED = 5
KEPT_DEAR = 100
CHEAP_SECONDS = 60
SHOW_BLOCKED_SECONDS = 30.0
"""What is missing is found missing again within seconds; until then the status keeps saying what it was."""
DEFAULTS = Settings()


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
    release: tuple[PodView, ...] = ()
    """Pods on lost nodes that are removed from the API without waiting for their end."""
    log: tuple[str, ...] = ()
    """Last lines of the log of the attempt that failed just now."""
    hold: Hold | None = None
    end: End | None = None
    again: float | None = None
    """Seconds until another look is due without any event."""

    def held(self, hold: Hold) -> "Plan":
        """The same plan, held up by something that was met while it was carried out."""
        return replace(self, hold=hold, again=STALLED_SECONDS)


def plan(seen: Snapshot, settings: Settings = DEFAULTS) -> Plan:
    """Decides what the run needs next.

    Args:
        seen: everything known about the run.
        settings: the platform's, for prices and for how long a lost node is waited for.

    Returns:
        The decision. For a run that is over it is empty: a run is never restarted once terminal.
    """
    if is_terminal(seen.run):
        return Plan(attempts=tuple(seen.run.status.attempts))
    if hold := bad_spec(seen):
        return Plan(attempts=tuple(seen.run.status.attempts), hold=hold)
    settled = settle(seen)
    if settled.open is None:
        return _next(seen, settled, settings)
    if early := _ended_early(seen, settled.open, settings):
        return early
    return _tend(seen, settled, settled.open, settings)


def is_terminal(run: FineTuneJob) -> bool:
    """Whether the run has its result; what is terminal stays so."""
    return any(c.type == ConditionType.FINISHED and c.status == "True" for c in run.status.conditions)


def _ended_early(seen: Snapshot, attempt: Attempt, settings: Settings) -> Plan | None:
    """An attempt that the operator ends."""
    if (found := early(seen, attempt, settings)) is None:
        return None
    ending, hold = found
    stopped = ended(attempt, seen, ending)
    attempts = (*seen.run.status.attempts[:-1], stopped)
    return Plan(attempts=attempts, stop=stopped, release=_given_up(seen), hold=hold, again=PENDING_SECONDS)


def _tend(seen: Snapshot, settled: Settled, attempt: Attempt, settings: Settings) -> Plan:
    """An attempt is under way: see that its Job exists, and find out why it does not run if it does not."""
    if seen.job is None and not seen.pods:
        if hold := not_yet(seen, settled.attempts[:-1], attempt.stage, settings):
            return Plan(attempts=settled.attempts, hold=hold, again=STALLED_SECONDS)
        return Plan(attempts=settled.attempts, start=attempt, again=PENDING_SECONDS)
    if seen.job is not None and seen.job.state is JobState.SUSPENDED:
        hold = why_waiting(seen.job, seen.pods, seen.warnings, seen.queue)
        return Plan(attempts=settled.attempts, hold=hold, again=_patience(attempt, seen))
    running = attempt.state is AttemptState.RUNNING
    hold = why_waiting(seen.job, seen.pods, seen.warnings) or _still_blocked(seen, settled.attempts)
    return Plan(
        attempts=settled.attempts,
        hold=leaving(seen, hold),
        again=PROGRESS_SECONDS if running else PENDING_SECONDS,
    )


def _patience(attempt: Attempt, seen: Snapshot) -> float:
    """Its Job's own event tells when a queue lets it go; what is looked for is only why it does not."""
    return PENDING_SECONDS if age(attempt, seen.now) < QUEUED_SECONDS else QUEUED_SECONDS


def _still_blocked(seen: Snapshot, attempts: tuple[Attempt, ...]) -> Hold | None:
    """While an attempt looks again for what was missing, the run still is what it was: blocked."""
    if len(attempts) < 2:  # noqa: PLR2004 - the attempt and the one before
        return None
    before, attempt = attempts[-2:]
    fresh = before.stage is attempt.stage and age(attempt, seen.now) < SHOW_BLOCKED_SECONDS
    return _backoff(before) if fresh and before.state is AttemptState.BLOCKED else None


def _next(seen: Snapshot, settled: Settled, settings: Settings) -> Plan:
    """No attempt is under way: end, wait, or start the next."""
    done = Plan(attempts=settled.attempts, outcome=settled.outcome, log=settled.log)
    if settled.last is not None and (still := _still_there(seen, settled.last, done)):
        return still
    stage = _stage(settled.attempts)
    if stage is None or (stage is Stage.PUBLISH and not _may_publish(seen, settled)):
        return replace(done, end=End(True, Reason.SUCCEEDED, _success(seen, settled, published=stage is None)))
    last = settled.last
    if last is not None and last.state is not AttemptState.SUCCEEDED and (end := _over(seen, settled, last)):
        return replace(done, end=end)
    if hold := not_yet(seen, settled.attempts, stage, settings, settled.outcome):
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


def _still_there(seen: Snapshot, last: Attempt, done: Plan) -> Plan | None:
    """What is left of an attempt that is recorded as over goes first: attempts never overlap.

    Its pods have their grace period, and the operator may have died before it asked for their end.
    """
    job, alive = seen.job, any(p.alive for p in seen.pods)
    if last.state is AttemptState.SUCCEEDED or ((job is None or job.over) and not alive):
        return None
    asked = job is None or job.over or job.deleting
    refused = _deactivated(seen)
    hold = suspended_hold() if seen.run.spec.suspend else refused or _backoff(last)
    if last.reason == Reason.BUDGET_EXCEEDED:
        hold = Hold(last.reason, last.message)
    return replace(
        done,
        stop=None if asked or refused else last,
        release=_given_up(seen),
        hold=leaving(seen, hold),
        again=QUEUED_SECONDS if refused and not alive else PENDING_SECONDS,
    )


def _deactivated(seen: Snapshot) -> Hold | None:
    """That a Job's Workload was deactivated, by an admin or by Kueue itself, and its Job stays as the sign of it.

    A Job made anew would have a Workload of its own, and go round that.
    """
    job, queue = seen.job, seen.queue
    if job is None or job.state is not JobState.SUSPENDED or queue is None or queue.active:
        return None
    return why_waiting(job, (), (), queue)


def _given_up(seen: Snapshot) -> tuple[PodView, ...]:
    """Pods that are removed from the API though nobody knows that they ended."""
    return tuple(p for p in seen.pods if p.name in seen.lost)


def _trimmed(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    """The record without all but the newest attempts that count for nothing: days of waiting must not fill etcd.

    Of those that ran for a while far more are kept, for the run's cost is reckoned from them.
    """
    spare = [a for a in attempts if a.state is not AttemptState.SUCCEEDED and not counted(a)]
    cheap = [a for a in spare if _cheap(a)]
    dear = [a for a in spare if not _cheap(a)]
    dropped = {(a.stage, a.number) for a in (*cheap[:-KEPT_UNCOUNTED], *dear[:-KEPT_DEAR])}
    return tuple(a for a in attempts if (a.stage, a.number) not in dropped)


def _cheap(attempt: Attempt) -> bool:
    end = attempt.end_time or attempt.start_time
    return attempt.held_since is None or held_seconds(attempt, datetime.fromisoformat(end)) < CHEAP_SECONDS


def _stage(attempts: tuple[Attempt, ...]) -> Stage | None:
    """The first stage that has not succeeded."""
    succeeded = {a.stage for a in attempts if a.state is AttemptState.SUCCEEDED}
    return next((s for s in RUN_STAGES if s not in succeeded), None)


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
    said = last.message if last.message.endswith(".") else f"{last.message}."
    return Hold(last.reason or Reason.POD_FAILED, said + then, stalled=blocked)


def _new_attempt(seen: Snapshot, attempts: tuple[Attempt, ...], stage: Stage) -> Attempt:
    number = 1 + max((a.number for a in attempts if a.stage == stage), default=0)
    meta = seen.run.metadata
    return Attempt(
        stage=stage,
        number=number,
        job_name=naming.job_name(meta.name, meta.uid, stage, number),
        state=AttemptState.PENDING,
        champion=champion_for(seen, stage),
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

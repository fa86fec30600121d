"""What a TunedModel needs next: one decision from one snapshot. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from attune_operator.api.conditions import Reason
from attune_operator.api.enums import AttemptState, Promotion
from attune_operator.api.problems import FieldProblem
from attune_operator.api.tunedmodel import Declined, LookRecord, MonitorStatus, TunedModelSpec
from attune_operator.timing import cron as crons
from attune_operator.timing.facts import State, invalid
from attune_operator.timing.moments import length, moment
from attune_operator.tunedmodel import looks
from attune_operator.tunedmodel.promotion import Standing, decide
from attune_operator.tunedmodel.snapshot import Snapshot
from attune_operator.tunedmodel.versions import declined, registered

LOOK_SECONDS = 15.0
"""A look's Job tells of its end itself; this look at it is for a watch that misses it."""


@dataclass(frozen=True)
class Plan:
    """One decision: versions as they shall be recorded, and what is to be done in the cluster for it."""

    standing: Standing
    state: State
    declined: tuple[Declined, ...] = ()
    look: LookRecord | None = None
    """The look that is under way."""
    start: bool = False
    """Whether its Job must exist."""
    monitor: MonitorStatus | None = None
    hand_over: bool = True
    """Whether the ConfigMap is to be brought up to date."""
    again: float | None = None
    """Seconds until another look is due without any event."""

    def refused(self, reason: str, message: str) -> "Plan":
        """The same plan, held up by something that was met while it was carried out."""
        return replace(self, state=State(reason, message, stalled=True), again=60.0)


def problems(spec: TunedModelSpec) -> tuple[FieldProblem, ...]:
    """What is wrong with a spec that neither its types nor its rules can say."""
    return crons.problems(spec.monitor.cron, "spec.monitor.cron") if spec.monitor else ()


def plan(seen: Snapshot) -> Plan:
    """Decides what a TunedModel needs next."""
    if seen.problems:
        return _as_it_is(seen)
    looked = looks.settle(seen, registered(seen))
    standing = decide(_with_monitor(seen, looked.monitor), looked.versions)
    look, monitor = looks.due(seen, standing, looked)
    return Plan(
        standing=standing,
        state=_state(seen, standing, look, monitor),
        declined=declined(seen),
        look=look,
        start=look is not None and look.state is AttemptState.PENDING,
        monitor=monitor,
        again=_again(seen, standing, look, monitor),
    )


def _as_it_is(seen: Snapshot) -> Plan:
    status = seen.model.status
    standing = Standing(
        versions=tuple(status.versions),
        champion=status.champion.version if status.champion else None,
        previous=status.previous_champion.version if status.previous_champion else None,
        challenger=status.challenger.version if status.challenger else None,
        rollout=status.rollout,
    )
    state = invalid(seen.problems)
    return Plan(standing, state, tuple(status.declined), status.look, monitor=status.monitor, hand_over=False)


def _with_monitor(seen: Snapshot, monitor: MonitorStatus | None) -> Snapshot:
    """What the monitor found just now decides on a rollout already."""
    status = seen.model.status.model_copy(update={"monitor": monitor})
    return replace(seen, model=seen.model.model_copy(update={"status": status}))


def _state(seen: Snapshot, standing: Standing, look: LookRecord | None, monitor: MonitorStatus | None) -> State:
    if standing.missing is not None:
        wanted = "rollbackTo" if seen.model.spec.rollback_to is not None else "promote"
        message = f"spec.{wanted}: there is no version {standing.missing} that can be used; status.versions lists them."
        return State(Reason.VERSION_NOT_FOUND, message, stalled=True)
    champion = standing.version(standing.champion)
    serving = f"Champion is v{champion.version}" if champion else "There is no champion"
    manual = standing.challenger is not None and seen.model.spec.promotion is Promotion.MANUAL
    if standing.compare is not None:
        waits = ", and waits for spec.promote" if manual else ""
        told = f"{serving}; v{standing.compare.version} is compared with it on the same rows{waits}."
        trouble = f" {look.message}" if look is not None and look.message else ""
        failing = look is not None and looks.fails(look)
        return State(Reason.COMPARISON_FAILED if failing else Reason.COMPARING, told + trouble, stalled=failing)
    if standing.rollout is not None:
        told = f"v{standing.rollout.version} gets {standing.rollout.challenger_percent} % of the traffic"
        return State(Reason.ROLLING_OUT, f"{serving}; {told}.")
    if manual:
        return State(Reason.AWAITING_PROMOTION, f"{serving}; v{standing.challenger} waits for spec.promote.")
    if champion is None:
        return State(Reason.NO_VERSION, "No run with output.register of this name has published a version yet.")
    drift = monitor.last.sentence if monitor is not None and monitor.last is not None else ""
    held = f"The monitor's look: {look.message}" if look is not None and look.message else ""
    return State(Reason.CHAMPION_SERVING, " ".join(filter(None, (f"{serving} of run {champion.run}.", drift, held))))


def _again(seen: Snapshot, standing: Standing, look: LookRecord | None, monitor: MonitorStatus | None) -> float | None:
    times: list[datetime] = []
    if look is not None:
        times.append(seen.now + timedelta(seconds=LOOK_SECONDS))
    if monitor is not None and monitor.next_time:
        times.append(moment(monitor.next_time))
    if standing.rollout is not None:
        step = seen.model.spec.rollout.steps[standing.rollout.step]
        times.append(moment(standing.rollout.since) + length(step.duration))
    ahead = [(t - seen.now).total_seconds() for t in times if t > seen.now]
    return max(0.1, min(ahead)) + 0.05 if ahead else None

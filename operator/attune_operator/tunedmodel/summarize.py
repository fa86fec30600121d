"""The status of a TunedModel, whole, from the snapshot and the plan. Pure; the same input gives the same bytes."""

from attune_operator import naming
from attune_operator.api.tunedmodel import Current, MonitorStatus, TunedModelStatus, TunedModelSummary, Version
from attune_operator.timing.facts import conditions
from attune_operator.timing.moments import stamp
from attune_operator.tunedmodel.hand_over import challenger_percent
from attune_operator.tunedmodel.plan import Plan
from attune_operator.tunedmodel.promotion import Standing
from attune_operator.tunedmodel.snapshot import Snapshot


def summarize(seen: Snapshot, plan: Plan) -> TunedModelStatus:
    """What the TunedModel's status shall be."""
    old, now, generation = seen.model.status, stamp(seen.now), seen.model.metadata.generation
    standing = plan.standing
    return old.model_copy(
        update={
            "observed_generation": generation,
            "message": plan.state.message,
            "conditions": conditions(plan.state, old.conditions, generation, now),
            "champion": _current(standing.version(standing.champion), old.champion, now),
            "challenger": _current(standing.version(standing.challenger), old.challenger, now),
            "previous_champion": _current(standing.version(standing.previous), old.previous_champion, now),
            "versions": standing.versions,
            "declined": plan.declined,
            "rollout": standing.rollout,
            "look": plan.look,
            "monitor": plan.monitor,
            "config_map": naming.hand_over_name(seen.model.metadata.name) if plan.hand_over else old.config_map,
            "summary": _summary(seen, standing, plan.monitor),
        }
    )


def _current(version: Version | None, before: Current | None, now: str) -> Current | None:
    if version is None:
        return None
    same = before is not None and before.version == version.version
    return Current(
        version=version.version,
        run=version.run,
        model_uri=version.model_uri,
        digest=version.digest,
        since=before.since if before is not None and same else now,
    )


def _summary(seen: Snapshot, standing: Standing, monitor: MonitorStatus | None) -> TunedModelSummary:
    champion, challenger = standing.version(standing.champion), standing.version(standing.challenger)
    first = champion.results[0] if champion and champion.results else None
    percent = challenger_percent(seen.model.spec, standing)
    return TunedModelSummary(
        champion=f"v{champion.version}" if champion else None,
        challenger=f"v{challenger.version} ({percent} %)" if challenger else None,
        score=f"{first.metric} {first.tuned:.4g}" if first else None,
        drift=_drift(monitor),
    )


def _drift(monitor: MonitorStatus | None) -> str | None:
    """What moved, in a few words."""
    last = monitor.last if monitor else None
    if last is None:
        return None
    if not last.enough:
        return "too few rows"
    moved = ["inputs"] if last.inputs and last.inputs.drifted else []
    moved += ["labels"] if last.labels and last.labels.drifted else []
    moved += [str(m.metric) for m in last.metrics if m.dropped]
    return ", ".join(moved) or "none"

"""The Events that tell a model's story: versions, promotions, rollouts, drift. Pure."""

from attune_operator.api.conditions import ConditionType
from attune_operator.api.tunedmodel import TunedModelStatus
from attune_operator.finetunejob.stories import Story


def stories(old: TunedModelStatus, new: TunedModelStatus) -> list[Story]:
    """What happened between two statuses; told only after the new one is stored."""
    known = {v.version: v for v in old.versions}
    told = [
        Story("Normal", "VersionRegistered", f"v{v.version} of run {v.run}: {v.model_uri}")
        for v in reversed(new.versions)
        if v.version not in known
    ]
    for version in reversed(new.versions):
        before = known.get(version.version)
        if (before.state if before else "Candidate") != version.state:
            told.append(Story("Normal", f"Version{version.state}", f"v{version.version}: {version.message}"))
    runs = {d.run_id for d in old.declined}
    told += [
        Story("Normal", "RunNotPublished", f"Run {d.run} ({d.verdict}): {d.message}")
        for d in reversed(new.declined)
        if d.run_id not in runs
    ]
    if new.rollout is not None and new.rollout != old.rollout:
        message = f"v{new.rollout.version} gets {new.rollout.challenger_percent} % of the traffic."
        told.append(Story("Normal", "RolloutStep", message))
    told += _monitored(old, new)
    stalled = {c.type: c for c in new.conditions}.get(ConditionType.STALLED)
    was = {c.type: c for c in old.conditions}.get(ConditionType.STALLED)
    if stalled and stalled.status == "True" and not (was and was.status == "True" and was.reason == stalled.reason):
        told.append(Story("Warning", stalled.reason, stalled.message))
    return told


def _monitored(old: TunedModelStatus, new: TunedModelStatus) -> list[Story]:
    last, before = new.monitor, old.monitor
    if last is None:
        return []
    told = []
    if last.last is not None and (before is None or before.last is None or before.last.at != last.last.at):
        kind, reason = ("Warning", "DriftFound") if last.last.drifted else ("Normal", "NoDrift")
        told.append(Story(kind, reason, last.last.sentence or f"{last.last.rows} rows."))
    if last.message and (before is None or before.message != last.message):
        told.append(Story("Warning", "MonitorFailed", last.message))
    return told

"""Which version is champion, and which is on its way. Pure.

The order of who decides: spec.rollbackTo, for as long as it stands; then spec.promote (Manual), or the figures
(Automatic). Nothing is ever promoted by figures from other rows than the champion's own on that day.
"""

from dataclasses import dataclass, replace

from attune_operator.api.enums import Promotion, VersionState
from attune_operator.api.tunedmodel import RolloutStatus, TunedModelSpec, TunedModelStatus, Version
from attune_operator.timing.moments import length, moment, stamp
from attune_operator.tunedmodel.snapshot import Snapshot
from attune_operator.tunedmodel.versions import CHAMPION, MOST_VERSIONS

OUT = frozenset({VersionState.RETIRED})
"""States of versions that can never be used again."""
DECIDED = frozenset({VersionState.DECLINED, VersionState.ROLLED_BACK, VersionState.PREVIOUS, VersionState.RETIRED})
"""States of versions that are not promoted by themselves."""


@dataclass(frozen=True)
class Standing:
    """Versions as they shall be, and what that means."""

    versions: tuple[Version, ...]
    champion: int | None
    previous: int | None
    challenger: int | None = None
    rollout: RolloutStatus | None = None
    compare: Version | None = None
    """The version that must be compared with the champion before anything is decided."""
    missing: int | None = None
    """A version that the spec names and that is not there, or retired."""
    promoted: Version | None = None
    """The version that became champion just now."""

    def version(self, number: int | None) -> Version | None:
        """The version of a number."""
        return next((v for v in self.versions if v.version == number), None)

    def with_state(self, number: int, state: VersionState, message: str, **more: object) -> "Standing":
        """The same, with one version in another state."""
        versions = tuple(
            v.model_copy(update={"state": state, "message": message, **more}) if v.version == number else v
            for v in self.versions
        )
        return replace(self, versions=versions)


def decide(seen: Snapshot, versions: tuple[Version, ...]) -> Standing:
    """Which version is champion.

    Args:
        seen: the TunedModel as it was read.
        versions: all of them, with what is known of how they compare.
    """
    status, spec = seen.model.status, seen.model.spec
    standing = Standing(
        versions=versions,
        champion=status.champion.version if status.champion else None,
        previous=status.previous_champion.version if status.previous_champion else None,
    )
    standing = _named(seen, standing) if _wanted(spec) is not None else standing
    if spec.rollback_to is None and spec.promotion is Promotion.AUTOMATIC:
        standing = _automatic(seen, standing)
    elif spec.rollback_to is None:
        standing = _waiting(standing)
    return _retired(standing, spec.history_limit)


def _wanted(spec: TunedModelSpec) -> int | None:
    """The version that a person asks for."""
    return spec.rollback_to if spec.rollback_to is not None else spec.promote


def _named(seen: Snapshot, standing: Standing) -> Standing:
    """The version that the spec names becomes champion."""
    number = _wanted(seen.model.spec)
    version = standing.version(number)
    if version is None or version.state in OUT:
        return replace(standing, missing=number)
    if standing.champion == number:
        return standing
    back = seen.model.spec.rollback_to is not None
    why = "spec.rollbackTo names it." if back else "spec.promote names it."
    return _promoted(seen, standing, version, why, back=back)


def _promoted(seen: Snapshot, standing: Standing, version: Version, why: str, *, back: bool = False) -> Standing:
    """One version takes the place of another."""
    before, now = standing.champion, stamp(seen.now)
    if before is not None:
        gone = VersionState.ROLLED_BACK if back else VersionState.PREVIOUS
        told = f"Rolled back: v{version.version} took its place." if back else f"v{version.version} took its place."
        standing = standing.with_state(before, gone, told)
    standing = standing.with_state(version.version, VersionState.CHAMPION, why, promoted_at=now)
    new = standing.version(version.version)
    return replace(
        standing, champion=version.version, previous=before, challenger=None, rollout=None, compare=None, promoted=new
    )


def _automatic(seen: Snapshot, standing: Standing) -> Standing:
    """Versions in their order, each judged against the champion as it is by then."""
    for version in reversed(standing.versions):
        if version.state in DECIDED or version.version == standing.champion:
            continue
        standing = _judged(seen, standing, version)
        if standing.compare is not None or standing.challenger is not None:
            return standing  # one at a time: the next is judged against whatever comes of this one
    return standing


def _judged(seen: Snapshot, standing: Standing, version: Version) -> Standing:
    if standing.champion is None:
        return _promoted(seen, standing, version, "It is the first version.")
    compared = version.compared
    if compared is None or compared.champion != standing.champion:
        told = f"It is compared with champion v{standing.champion} on the same rows, which its own run did not do."
        waiting = standing.with_state(version.version, VersionState.COMPARING, told)
        return replace(waiting, compare=waiting.version(version.version))
    if not compared.better:
        return standing.with_state(version.version, VersionState.DECLINED, f"Not better: {compared.message}.")
    if seen.model.spec.rollout.steps:
        return _rolled(seen, standing, version)
    return _promoted(seen, standing, version, f"Better: {compared.message}.")


def _rolled(seen: Snapshot, standing: Standing, version: Version) -> Standing:
    """A better version on its way: from step to step by the time that passed and by live figures."""
    steps, now = seen.model.spec.rollout.steps, stamp(seen.now)
    known = seen.model.status.rollout
    before = known if known and known.version == version.version else None
    index = min(before.step, len(steps) - 1) if before else 0
    since = before.since if before else now
    worse, looked = live(seen.model.status, version.version, since)
    if before is not None and worse:
        gone = standing.with_state(version.version, VersionState.DECLINED, f"Declined while it was rolled out: {worse}")
        return replace(gone, rollout=None, challenger=None)
    if before is not None and looked and seen.now - moment(since) >= length(steps[index].duration):
        if index + 1 >= len(steps):
            return _promoted(seen, standing, version, "It went through every step of spec.rollout.")
        index, since = index + 1, now
    percent = steps[index].challenger_percent
    told = f"Step {index + 1} of {len(steps)}: {percent} % of the traffic since {since}."
    rolling = standing.with_state(version.version, VersionState.CHALLENGER, told)
    status = RolloutStatus(version=version.version, step=index, challenger_percent=percent, since=since)
    return replace(rolling, challenger=version.version, rollout=status)


def live(status: TunedModelStatus, challenger: int, since: str) -> tuple[str, bool]:
    """What the monitor says of a challenger since a moment.

    Returns:
        How it is worse than the champion, empty where it is not surely so; and whether it was looked at at all.
    """
    last = status.monitor.last if status.monitor else None
    if last is None or last.at < since:
        return "", False
    mine = [v for v in last.variants if v.variant == "challenger" and v.version == str(challenger)]
    if not mine:
        return "", False
    for found in last.comparisons:
        sign = -1 if found.lower_is_better else 1
        ends = [sign * end for end in (found.low, found.high) if end is not None]
        if ends and max(ends) < 0:
            return f"{found.about} is {found.delta:+.4g} against the champion on {found.rows} fresh rows.", True
    return "", True


def _waiting(standing: Standing) -> Standing:
    """Manual: the newest version that is newer than the champion waits for spec.promote, with figures to decide by."""
    for version in standing.versions:
        if version.version <= (standing.champion or 0):
            break
        if version.state not in DECIDED:
            asked = version.compared is not None and version.compared.champion == standing.champion
            figures = f" {version.compared.message}." if version.compared and asked else ""
            told = f"It waits for spec.promote: {version.version}.{figures}"
            waiting = standing.with_state(version.version, VersionState.CHALLENGER, told)
            others = [
                v.version
                for v in waiting.versions
                if v.state is VersionState.CHALLENGER and v.version != version.version
            ]
            for number in others:
                waiting = waiting.with_state(number, VersionState.CANDIDATE, f"v{version.version} is newer.")
            compare = None if asked or standing.champion is None else waiting.version(version.version)
            return replace(waiting, challenger=version.version, compare=compare)
    return standing


def _retired(standing: Standing, limit: int) -> Standing:
    """Versions beyond the limit keep their figures only; those in use and the one before them never go."""
    kept = {standing.champion, standing.previous, standing.challenger}
    kept |= {standing.compare.version} if standing.compare else set()
    for version in standing.versions[limit:]:
        if version.version not in kept and version.state not in OUT:
            # Its figures are kept, and no more of it.
            less = {"secrets": {}, "results": tuple(r for r in version.results if r.baseline != CHAMPION)}
            standing = standing.with_state(version.version, VersionState.RETIRED, "Beyond spec.historyLimit.", **less)
    return replace(standing, versions=_young(standing.versions, kept))


def _young(versions: tuple[Version, ...], kept: set[int | None]) -> tuple[Version, ...]:
    """As many versions as an object can hold; the oldest that are in use stay whatever comes."""
    return tuple(v for index, v in enumerate(versions) if index < MOST_VERSIONS or v.version in kept)

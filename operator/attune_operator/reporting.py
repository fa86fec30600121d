"""Says on an object what keeps the operator from working on it, without touching what it cannot read.

An object may hold what this version does not know: a phase of a newer one, a status that somebody wrote by hand. Its
record is never written over; only conditions and message are, and where even that is refused, an Event tells it.
"""

import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from attune_operator import naming
from attune_operator.api.conditions import ConditionType, Reason
from attune_operator.api.meta import Condition
from attune_operator.api.problems import FieldProblem, as_mapping
from attune_operator.cluster import apply, objects
from attune_operator.cluster.client import Kube
from attune_operator.errors import (
    APIError,
    AttuneError,
    ConflictError,
    InvalidError,
    NotFoundError,
    UnreadableError,
)
from attune_operator.timing.moments import stamp
from attune_operator.workqueue import Key

JSON = dict[str, Any]
log = logging.getLogger("attune")
UNREADABLE_SECONDS = 60.0


def demand_readable(problems: Iterable[FieldProblem]) -> None:
    """Raises UnreadableError where any of these problems is with the status."""
    if unreadable := about_status(problems):
        raise UnreadableError(unreadable)


def about_status(problems: Iterable[FieldProblem]) -> str:
    """What of a status cannot be read, in words; empty where all of it can."""
    return " ".join(str(p) for p in problems if p.path.startswith("status"))


async def guarded(client: Kube, plural: str, stored: JSON, step: Callable[[], Awaitable[float | None]]) -> float | None:
    """Takes a step of one object. What this version cannot cope with is said on the object, and the others go on.

    Args:
        client: the API server.
        plural: the resource.
        stored: the object as it was read.
        step: brings it one step on.

    Returns:
        What the step returned; where the status cannot be read, seconds until it is looked at again.

    Raises:
        Exception: whatever else the step raised; the caller tries again with back-off.
    """
    try:
        return await step()
    except UnreadableError as error:
        await _say(client, plural, stored, Reason.STATUS_UNREADABLE, str(error))
        return UNREADABLE_SECONDS
    except InvalidError as error:
        # What was read is something that the API server does not take back: only an Event can say so.
        said = f"The API server refuses what the operator writes about this object: {error}"
        told = {"kind": "Warning", "reason": Reason.STATUS_UNREADABLE, "message": said}
        await apply.try_event(client, stored, **told, name=event_name(stored, said))
        raise
    except AttuneError:
        raise
    except Exception as error:
        said = f"The operator cannot work on this object: {type(error).__name__}: {str(error)[:500]}"
        await _say(client, plural, stored, Reason.INTERNAL_ERROR, said)
        raise


async def _say(client: Kube, plural: str, stored: JSON, reason: str, message: str) -> None:
    """Says on an object why it is not worked on; read afresh, for a step may have written it since."""
    key = Key(stored["metadata"].get("namespace", ""), stored["metadata"]["name"])
    if (newest := await objects.get(client, plural, key)) is not None:
        log.warning("%s %s/%s: %s: %s", plural, *key, reason, message)
        await report(client, newest, reason, message, datetime.now(UTC), stalled=True, plural=plural)


async def report(
    client: Kube,
    stored: JSON,
    reason: str,
    message: str,
    now: datetime,
    *,
    stalled: bool,
    plural: str = naming.FINETUNEJOBS,
) -> JSON:
    """Writes why nothing moves into conditions and message, and that this is about the newest spec.

    Everything else stays as it is.

    Args:
        client: the API server.
        stored: the object as it was read.
        reason: of the conditions Stalled and Reconciling.
        message: a sentence for people.
        now: for the time of conditions that changed.
        stalled: whether a person must act; then it is not Ready either.
        plural: the resource.

    Returns:
        The object as stored now.
    """
    status = dict(as_mapping(stored.get("status")))
    truths = {ConditionType.STALLED: stalled, ConditionType.RECONCILING: not stalled}
    truths |= {ConditionType.READY: False} if stalled else {}
    facts = [
        {"type": kind.value, "status": str(holds), "reason": str(reason), "message": message}
        for kind, holds in truths.items()
    ]
    # Without the generation, GitOps tools would say that nobody has looked at it yet (kstatus).
    about = {"observedGeneration": generation} if (generation := stored["metadata"].get("generation")) else {}
    new = {**status, **about, "message": message, "conditions": _conditions(stored, facts, stamp(now))}
    if new == status:
        return stored
    try:
        return await apply.write_status(client, stored, new, plural)
    except (ConflictError, NotFoundError):
        raise
    except APIError as error:
        log.warning("%s: %s (%s)", stored["metadata"]["name"], message, error)
        await apply.try_event(
            client, stored, kind="Warning", reason=reason, message=message, name=event_name(stored, message)
        )
        return stored


def _conditions(stored: JSON, facts: list[JSON], now: str) -> list[JSON]:
    """The conditions as they are stored, with these facts in the place of those of their types."""
    given = as_mapping(stored.get("status")).get("conditions")
    found = {c["type"]: c for c in given if _readable(c)} if isinstance(given, list) else {}
    for fact in facts:
        old = found.get(fact["type"])
        since = old["lastTransitionTime"] if old and old["status"] == fact["status"] else now
        generation = stored["metadata"].get("generation", 0)
        found[fact["type"]] = {**fact, "observedGeneration": generation, "lastTransitionTime": since}
    return list(found.values())


def _readable(condition: object) -> bool:
    try:
        Condition.model_validate(condition)
    except ValidationError:
        return False
    return True


def event_name(stored: JSON, message: str) -> str:
    """One Event for one message about one object, however often it is met."""
    digest = hashlib.sha256(message.encode()).hexdigest()[:10]
    return f"{stored['metadata']['name']}.{digest}"

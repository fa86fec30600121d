"""Says on an object what keeps the operator from working on it, without touching what it cannot read.

An object may hold what this version does not know: a phase of a newer one, a status that somebody wrote by hand. Its
record is never written over; only conditions and message are, and where even that is refused, an Event tells it.
"""

import hashlib
import logging
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from attune_operator.api.conditions import ConditionType
from attune_operator.api.meta import Condition
from attune_operator.api.problems import as_mapping
from attune_operator.cluster import apply
from attune_operator.cluster.client import Kube
from attune_operator.errors import APIError, ConflictError, NotFoundError
from attune_operator.finetunejob.snapshot import stamp

JSON = dict[str, Any]
log = logging.getLogger("attune")


async def report(client: Kube, stored: JSON, reason: str, message: str, now: datetime, *, stalled: bool) -> JSON:
    """Writes why nothing moves into conditions and message, and leaves everything else as it is.

    Args:
        client: the API server.
        stored: the FineTuneJob as it was read.
        reason: of the conditions Stalled and Reconciling.
        message: a sentence for people.
        now: for the time of conditions that changed.
        stalled: whether a person must act.

    Returns:
        The object as stored now.
    """
    status = dict(as_mapping(stored.get("status")))
    truths = {ConditionType.STALLED: stalled, ConditionType.RECONCILING: not stalled}
    facts = [
        {"type": kind.value, "status": str(holds), "reason": str(reason), "message": message}
        for kind, holds in truths.items()
    ]
    new = {**status, "message": message, "conditions": _conditions(stored, facts, stamp(now))}
    if new == status:
        return stored
    try:
        return await apply.write_status(client, stored, new)
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

"""Pods of an attempt that is over, or about to be: which are waited for, and which no longer. Pure.

Attempts never overlap, so the next one waits until every pod of the last has said that it ended. A pod on a node that
is out of reach never says so. It is given up once its deletion, which the cluster begins five minutes after a node went
silent, is overdue by `ATTUNE_LOST_NODE_SECONDS` and the node is still out of reach or gone; see docs/decisions/0021.
"""

from datetime import datetime, timedelta

from attune_operator.api.conditions import Reason
from attune_operator.finetunejob.snapshot import PodView, Snapshot
from attune_operator.finetunejob.waiting import Hold

OVERDUE = timedelta(seconds=30)
"""A pod that should have ended longer ago than this is spoken of."""


def overdue(pods: tuple[PodView, ...], now: datetime, after: timedelta) -> tuple[PodView, ...]:
    """Pods that are being deleted, and should have been gone so long ago."""
    late = [p for p in pods if p.alive and p.leaving_at and now - datetime.fromisoformat(p.leaving_at) > after]
    return tuple(late)


def leaving(seen: Snapshot, hold: Hold | None) -> Hold | None:
    """Why the next attempt does not begin while pods of the last are still there: told where it takes too long.

    Args:
        seen: the run as it was read.
        hold: what would be said otherwise.
    """
    late = overdue(seen.pods, seen.now, OVERDUE)
    if not late:
        return hold
    pod = late[0]
    since = (seen.now - datetime.fromisoformat(pod.leaving_at)).total_seconds()
    message = (
        f"Pod {pod.name} on node {pod.node} should have ended {since:.0f} s ago and has not; the next attempt waits "
        "for it. Where the node is lost, delete it or taint it node.kubernetes.io/out-of-service."
    )
    return Hold(hold.reason if hold else Reason.POD_DISRUPTED, message, stalled=False)

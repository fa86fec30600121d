"""What can go wrong between the operator and the API server, and schedules of it that follow from a seed. Pure."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

READS = frozenset({"GET"})


class Kind(StrEnum):
    """A fault; its value is what the table of results calls it."""

    CONFLICT = "409 Conflict"
    GONE = "410 Expired"
    INVALID = "422 Invalid"
    BUSY = "429 Too Many Requests"
    ERROR = "500 Internal Error"
    UNAVAILABLE = "503 Unavailable"
    RESET = "connection reset"
    LOST = "write done, its answer lost"
    STALL = "stall of a request"
    DROPPED = "watch event dropped"
    CUT = "watch cut"
    EXPIRED = "watch told 410"
    STALE = "stale read"
    KILL_BEFORE = "SIGKILL before a write"
    KILL_AFTER = "SIGKILL after a write"


STATUS = {
    Kind.CONFLICT: (409, "Conflict"),
    Kind.GONE: (410, "Expired"),
    Kind.INVALID: (422, "Invalid"),
    Kind.BUSY: (429, "TooManyRequests"),
    Kind.ERROR: (500, "InternalError"),
    Kind.UNAVAILABLE: (503, "ServiceUnavailable"),
}
ANY = (Kind.BUSY, Kind.ERROR, Kind.UNAVAILABLE, Kind.RESET, Kind.STALL)
OF_WRITES = (*ANY, Kind.CONFLICT, Kind.INVALID, Kind.LOST, Kind.LOST)
OF_READS = (*ANY, Kind.STALE, Kind.STALE, Kind.STALE)
OF_LISTS = (*ANY, Kind.GONE, Kind.STALE)
OF_WATCHES = (*ANY, Kind.GONE)
OF_EVENTS = (Kind.DROPPED, Kind.DROPPED, Kind.CUT, Kind.EXPIRED)


@dataclass(frozen=True)
class Asked:
    """One request of the operator's, or one event of a watch that it has open.

    Attributes:
        number: of this request among all, from 1.
        write: of this write among the writes, from 1; 0 for what is no write.
        verb: HTTP's.
        path: with the query.
        what: for people, such as `POST jobs`.
        watch: whether it opens a watch.
        event: whether it is an event of one.
        known: whether it was answered before, so that there is old news.
    """

    number: int
    write: int
    verb: str
    path: str
    what: str
    watch: bool = False
    event: bool = False
    known: bool = False


Script = Callable[[Asked], Kind | None]
"""Decides what happens to a request."""


def healthy(_: Asked) -> None:
    """Nothing goes wrong."""


def kill_at(write: int, kind: Kind) -> Script:
    """The operator is killed at one write, once."""
    left = [write]

    def script(asked: Asked) -> Kind | None:
        if asked.write and asked.write in left:
            left.clear()
            return kind
        return None

    return script


KINDS = (
    Kind.CONFLICT,
    Kind.GONE,
    Kind.INVALID,
    Kind.BUSY,
    Kind.ERROR,
    Kind.UNAVAILABLE,
    Kind.RESET,
    Kind.LOST,
    Kind.STALL,
    Kind.DROPPED,
    Kind.CUT,
    Kind.EXPIRED,
    Kind.STALE,
)
"""Those that schedules are made of."""
_EVERY = 20


def kind_of(seed: int) -> Kind | None:
    """The one kind of fault of a schedule; None for one that mixes them."""
    place = seed % _EVERY
    return KINDS[place] if place < len(KINDS) else None


def schedule(seed: int, only: Kind | None = None, count: int = 8) -> Script:
    """Faults by chance until there were `count`: which, and at which request, follows from the seed.

    Args:
        seed: of the schedule.
        only: the one kind of fault; None mixes them.
        count: faults until the world is well again.
    """
    dice = random.Random(seed)  # noqa: S311 - not for secrets
    left = [count]

    def script(asked: Asked) -> Kind | None:
        # Thrown for every request, so that one request more or less does not change all that comes after.
        thrown, chosen = dice.random(), dice.random()
        kinds = [kind for kind in _kinds(asked) if only in {None, kind} and (asked.known or kind is not Kind.STALE)]
        if not kinds or not left[0] or thrown > (ALONE if only else MIXED):
            return None
        left[0] -= 1
        return kinds[int(chosen * len(kinds))]

    return script


ALONE, MIXED = 0.3, 0.12
"""The chance that a request is struck: more where only some requests can be."""
_ENDS = frozenset({Kind.GONE, Kind.EXPIRED})


def now_and_then(seed: int, one_in: int = 50) -> Script:
    """Faults without end, at one of so many requests, but none that makes the operator's process end by itself.

    What an expired watch ends is started again with an empty memory, and would hide that memory grows.
    """
    dice = random.Random(seed)  # noqa: S311 - not for secrets

    def script(asked: Asked) -> Kind | None:
        thrown, chosen = dice.random() * one_in, dice.random()
        kinds = [kind for kind in _kinds(asked) if kind not in _ENDS and (asked.known or kind is not Kind.STALE)]
        return kinds[int(chosen * len(kinds))] if thrown < 1 and kinds else None

    return script


def old_news(seed: int) -> Script:
    """Every second read of a FineTuneJob that was read before tells how it was then."""
    dice = random.Random(seed)  # noqa: S311 - not for secrets

    def script(asked: Asked) -> Kind | None:
        one = asked.verb == "GET" and "/finetunejobs/" in asked.path
        return Kind.STALE if one and asked.known and dice.random() < 1 / 2 else None

    return script


def _kinds(asked: Asked) -> tuple[Kind, ...]:
    if asked.event:
        return OF_EVENTS
    if asked.watch:
        return OF_WATCHES
    if asked.verb not in READS:
        return OF_WRITES
    return OF_LISTS if "limit=" in asked.path else OF_READS

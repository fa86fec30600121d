"""In which order schedules of a wave come. Pure; names break every tie, so that two operators make one order."""

from collections import defaultdict
from collections.abc import Callable, Iterable

from attune_operator.api.enums import WaveOrder
from attune_operator.clusterfinetuneschedule.snapshot import Candidate


def ordered(candidates: Iterable[Candidate], order: WaveOrder) -> tuple[Candidate, ...]:
    """Candidates in the order in which they are to start."""
    return tuple(_ORDERS[order](sorted(candidates, key=lambda c: c.name)))


def _oldest_first(candidates: list[Candidate]) -> list[Candidate]:
    """RFC 3339 in UTC sorts as text; no champion is the empty text, and so before all."""
    return sorted(candidates, key=lambda c: c.promoted_at)


def _worst_first(candidates: list[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda c: -c.drift)


def _in_turns(candidates: list[Candidate]) -> list[Candidate]:
    turn: dict[str, int] = defaultdict(int)
    placed = []
    for candidate in candidates:
        placed.append((turn[candidate.name.namespace], candidate.name, candidate))
        turn[candidate.name.namespace] += 1
    return [candidate for _, _, candidate in sorted(placed, key=lambda p: p[:2])]


_ORDERS: dict[WaveOrder, Callable[[list[Candidate]], list[Candidate]]] = {
    WaveOrder.OLDEST_CHAMPION_FIRST: _oldest_first,
    WaveOrder.WORST_DRIFT_FIRST: _worst_first,
    WaveOrder.ROUND_ROBIN: _in_turns,
}

"""Which examples share a sequence, so that little of it is padding. No torch: preflight says what packing saves."""

from bisect import bisect_left, insort
from collections.abc import Sequence


def pack(lengths: Sequence[int], limit: int) -> list[list[int]]:
    """Puts examples into as few sequences as it can: longest first, each where the least room is left over.

    Best-fit decreasing needs at most 11/9 of the fewest possible, and one (Johnson 1973).

    Args:
        lengths: tokens of each example; longer ones count as the limit.
        limit: tokens of a sequence.

    Returns:
        Indices of the examples of each sequence, ascending; sequences in the order of their first examples.
    """
    rooms: dict[int, list[int]] = {}
    """Numbers of the sequences that have so much room left."""
    sizes: list[int] = []
    """The keys of `rooms`, ascending."""
    packs: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = min(lengths[index], limit)
        place = bisect_left(sizes, length)
        if place == len(sizes):
            room, number = limit, len(packs)
            packs.append([])
        else:
            room = sizes[place]
            number = rooms[room].pop()
            if not rooms[room]:
                del rooms[room], sizes[place]
        packs[number].append(index)
        if room > length:
            if room - length not in rooms:
                insort(sizes, room - length)
            rooms.setdefault(room - length, []).append(number)
    return sorted(sorted(members) for members in packs)

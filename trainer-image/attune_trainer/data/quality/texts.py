"""What of a row is compared, scanned and counted, whatever its kind."""

import hashlib
from typing import NamedTuple

from attune_trainer.data.examples import Document, Example, Labeled, Pair, Rated, Supervised, Turn

_SYSTEM = "system"
_KEY_BYTES = 8


class Seen(NamedTuple):
    """One row as the searches need it."""

    subject: int
    """64 bits of what must have one answer: rows that share it and differ contradict each other; 0: nothing must."""
    row: int
    """64 bits of the whole row: equal for exact duplicates."""
    compared: str
    """Text that near duplicates and leaks are searched in: without system messages, which rows rightly share."""
    rest: str
    """All other text of the row; scanned for secrets, never compared."""


def look(row: Example) -> Seen:
    """Takes a row apart.

    Contradictions are: of Supervised, another answer to the same conversation so far; of Pair, the same two answers
    the other way round (different pairs for one prompt are normal); of Rated, another rating of the same answer; of
    Labeled, another label of the same text. Documents have none.

    Raises:
        TypeError: a kind of row that this version does not know.
    """
    match row:
        case Supervised():
            answer = row.answer_index
            subject = _key(_flat(row.turns[:answer]) + row.tools)
            return Seen(subject, _key(_flat(row.turns, weights=True) + row.tools), *_texts(row.turns, row.tools))
        case Pair():
            prompt, chosen, rejected = (_flat(turns) for turns in (row.prompt, row.chosen, row.rejected))
            whole = "\0".join([prompt, chosen, rejected, row.tools])  # noqa: FLY002 - like the line below
            either = "\0".join([prompt, *sorted((chosen, rejected)), row.tools])
            return Seen(_key(either), _key(whole), *_texts((*row.prompt, *row.chosen, *row.rejected), row.tools))
        case Rated():
            turns = (*row.prompt, *row.completion)
            asked = _flat(turns) + row.tools
            return Seen(_key(asked), _key(f"{asked}\0{row.desirable}"), *_texts(turns, row.tools))
        case Labeled():
            return Seen(_key(row.text), _key(f"{row.text}\0{row.label}"), row.text, row.label)
        case Document():
            return Seen(0, _key(row.text), row.text, "")
        case _:
            raise TypeError(f"rows of {type(row).__name__} have no quality checks")


def _texts(turns: tuple[Turn, ...], tools: str) -> tuple[str, str]:
    compared = "\n".join(turn.content for turn in turns if turn.role != _SYSTEM)
    rest = [turn.content for turn in turns if turn.role == _SYSTEM]
    rest += [turn.extra for turn in turns if turn.extra]
    return compared, "\n".join([*rest, tools]) if rest or tools else ""


def _flat(turns: tuple[Turn, ...], *, weights: bool = False) -> str:
    return "\0".join(f"{t.role}{t.weight if weights else ''}\0{t.content}\0{t.extra}" for t in turns)


def _key(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()
    return int.from_bytes(digest, "little")

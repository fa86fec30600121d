"""A prompt and an answer to it, either of them text or messages: what preference pairs and ratings share."""

from itertools import takewhile
from typing import Any

from attune_trainer.data.examples import ASSISTANT, COMPLETION, PROMPT, Turn
from attune_trainer.data.formats import messages
from attune_trainer.data.formats.base import missing, text_findings
from attune_trainer.data.problems import Finding
from attune_trainer.data.rows import Row

Turns = tuple[Turn, ...]


def side(row: Row, column: str, empty: str) -> str | Turns | list[Finding]:
    """One column that is a text or a list of messages.

    Args:
        row: the row.
        column: the file's name of it.
        empty: code of a text that is empty.
    """
    if column not in row:
        return [missing(row, column)]
    if isinstance(row[column], list):
        return messages.read(row[column], column)
    return text_findings(row, empty, column) or str(row[column])


def joined(prompt: str | Turns, answer: str | Turns) -> tuple[Turns, Turns]:
    """Prompt and answer as turns: both put together as they are, or both of one conversation."""
    if isinstance(prompt, str) and isinstance(answer, str):
        return (Turn(PROMPT, prompt),), (Turn(COMPLETION, answer, 1),)
    asked = (Turn(messages.USER, prompt),) if isinstance(prompt, str) else prompt
    given = (Turn(ASSISTANT, answer),) if isinstance(answer, str) else answer
    return weighed(asked, learnt=False), weighed(given, learnt=True)


def weighed(turns: Turns, *, learnt: bool) -> Turns:
    """Turns of a prompt, of which none is learnt, or of an answer, of which the assistant's are."""
    return tuple(turn._replace(weight=int(learnt and turn.role in {ASSISTANT, COMPLETION})) for turn in turns)


def conversation_findings(prompt: Turns, answer: Turns, prompt_column: str, column: str) -> list[Finding]:
    """Whether the answer goes on where the prompt ends. Of plain text there is nothing to say."""
    if prompt and prompt[0].role == PROMPT:
        return []
    places = [*messages.places(prompt_column, len(prompt)), *messages.places(column, len(answer))]
    found = messages.order_findings((*prompt, *answer), places)
    if not any(turn.role == ASSISTANT for turn in answer):
        text = "no message of the assistant is there to learn from"
        found.append(Finding("example_missing_assistant_message", text, column))
    return found


def shared(first: Turns, second: Turns) -> Turns:
    """The turns that two conversations begin with alike, up to where an assistant should speak."""
    pairs = zip(first[:-1], second[:-1], strict=False)
    alike = tuple(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    while alike and (alike[-1].role not in {messages.USER, messages.TOOL}):
        alike = alike[:-1]
    return alike


def same(first: Any, second: Any) -> bool:
    """Whether two answers say the same, white space at the ends apart."""
    return _bare(first) == _bare(second)


def _bare(turns: Turns) -> list[tuple[str, str, str]]:
    return [(turn.role, turn.content.strip(), turn.extra) for turn in turns]

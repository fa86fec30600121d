"""Conversations: OpenAI's `messages`, and ShareGPT's `conversations`."""

from attune_contract.enums import DataFormat
from attune_trainer.data.examples import Supervised, Turn
from attune_trainer.data.formats import messages
from attune_trainer.data.formats.base import Checked, Format, Names
from attune_trainer.data.formats.tools import tool_findings, tools_text
from attune_trainer.data.problems import Finding
from attune_trainer.data.rows import Row, type_name


def _messages(row: Row, row_id: str, names: Names) -> Checked:
    return _check(row, row_id, names, messages.OPENAI)


def _conversations(row: Row, row_id: str, names: Names) -> Checked:
    """ShareGPT; a system prompt may stand beside the conversation, in `system`."""
    column = names.columns["system"]
    system = row.get(column)
    if system is not None and not isinstance(system, str):
        return [Finding("data_type", f"{column!r} must be a text, and is {type_name(system)}", column)]
    before = (Turn(messages.SYSTEM, system),) if system and not system.isspace() else ()
    return _check(row, row_id, names, messages.SHAREGPT, before)


def _check(row: Row, row_id: str, names: Names, dialect: messages.Dialect, before: tuple[Turn, ...] = ()) -> Checked:
    column, tools = names.columns[dialect.field], row.get(names.columns["tools"])
    turns = messages.read(row.get(column), column, dialect)
    findings = list(turns) if isinstance(turns, list) else _conversation_findings(turns, column, dialect.role)
    if tools is not None:
        findings += tool_findings(tools, names.columns["tools"])
    if findings or isinstance(turns, list):
        return findings
    alone = before if turns[0].role != messages.SYSTEM else ()
    return (Supervised(row_id, (*alone, *turns), tools_text(tools) if tools else ""),)


def _conversation_findings(turns: tuple[Turn, ...], column: str, key: str) -> list[Finding]:
    found = messages.order_findings(turns, messages.places(column, len(turns), key))
    if not any(turn.weight for turn in turns):
        text = "no message of the assistant is there to learn from"
        found.append(Finding("example_missing_assistant_message", text, column))
    return found


CHAT = Format(DataFormat.CHAT, ("messages",), _messages, ("tools",))
SHAREGPT = Format(DataFormat.CHAT, ("conversations",), _conversations, ("tools", "system"), "ShareGPT")

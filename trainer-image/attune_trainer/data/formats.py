"""The shapes of a row that SFT takes, and what can be wrong with each.

Codes follow OpenAI's data preparation guide ("Data preparation and analysis for chat model fine-tuning") where it has
a name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from attune_contract.enums import DataFormat
from attune_trainer.data.canonical import ASSISTANT, COMPLETION, PROMPT, Turn
from attune_trainer.data.problems import Finding
from attune_trainer.data.rows import Row, shown, type_name

Checked = tuple[Turn, ...] | list[Finding]
"""The turns of a good row, or everything that is wrong with it."""

ROLES = ("system", "user", ASSISTANT)
_MESSAGE_KEYS = {"role", "content", "weight"}


@dataclass(frozen=True)
class Format:
    """One shape of a row.

    Args:
        name: as in spec.dataset.format.
        fields: names of its fields, in the format's own words.
        check: from a row and the columns' names to turns or findings.
    """

    name: DataFormat
    fields: tuple[str, ...]
    _check: Callable[[Row, Mapping[str, str]], Checked]
    columns: Mapping[str, str] = field(default_factory=dict)

    def check(self, row: Row) -> Checked:
        """The row's turns, or all that is wrong with it."""
        return self._check(row, {name: self.columns.get(name, name) for name in self.fields})

    def fits(self, row: Row) -> bool:
        """Whether a row has every field of this format."""
        return all(self.columns.get(name, name) in row for name in self.fields)


def _check_prompt_completion(row: Row, columns: Mapping[str, str]) -> Checked:
    findings = [f for name in (PROMPT, COMPLETION) for f in _text_findings(row, name, columns[name])]
    if findings:
        return findings
    return (Turn(PROMPT, row[columns[PROMPT]]), Turn(COMPLETION, row[columns[COMPLETION]], 1))


def _text_findings(row: Row, name: str, column: str) -> list[Finding]:
    if column not in row:
        have = shown(", ".join(list(row)[:8])).strip("'\"") or "nothing"
        return [Finding("missing_column", f"there is no {column!r} (the row has: {have})", column)]
    value = row[column]
    if value is None or (isinstance(value, str) and not value.strip()):
        return [Finding(f"empty_{name}", f"{column!r} is empty", column)]
    if not isinstance(value, str):
        return [Finding("data_type", f"{column!r} must be a text, and is {type_name(value)}", column)]
    return []


def _check_chat(row: Row, columns: Mapping[str, str]) -> Checked:
    column = columns["messages"]
    messages = row.get(column)
    if messages is None or messages == []:
        return [Finding("missing_messages_list", f"there is no list of messages in {column!r}", column)]
    if not isinstance(messages, list):
        return [Finding("data_type", f"{column!r} must be a list, and is {type_name(messages)}", column)]
    findings = [f for i, message in enumerate(messages) for f in _message_findings(message, f"{column}[{i}]")]
    if "tools" in row:
        findings.append(Finding("message_unrecognized_key", "tool definitions are not supported", "tools"))
    if not findings:
        findings = _conversation_findings(messages, column)
    return findings or tuple(_turn(message) for message in messages)


def _message_findings(message: Any, where: str) -> list[Finding]:
    if not isinstance(message, dict):
        return [Finding("data_type", f"a message must be an object, and is {type_name(message)}", where)]
    found = [
        Finding("message_missing_key", f"the message has no {key!r}", f"{where}.{key}")
        for key in ("role", "content")
        if key not in message
    ]
    found += [
        Finding("message_unrecognized_key", f"{shown(key)} is not one of role, content, weight", f"{where}.{key[:60]}")
        for key in message
        if key not in _MESSAGE_KEYS
    ]
    if "role" in message and message["role"] not in ROLES:
        text = f"the role {shown(message['role'])} is not one of {', '.join(ROLES)}"
        found.append(Finding("unrecognized_role", text, f"{where}.role"))
    return found + _content_findings(message, where)


def _content_findings(message: Row, where: str) -> list[Finding]:
    found: list[Finding] = []
    content = message.get("content", "-")
    if content is None or (isinstance(content, str) and not content.strip()):
        found.append(Finding("missing_content", "the message is empty", f"{where}.content"))
    elif not isinstance(content, str):
        text = f"the content must be a text, and is {type_name(content)}"
        found.append(Finding("data_type", text, f"{where}.content"))
    weight = message.get("weight", 1)
    if isinstance(weight, bool) or weight not in (0, 1):
        found.append(Finding("data_type", f"the weight must be 0 or 1, and is {shown(weight)}", f"{where}.weight"))
    elif "weight" in message and message.get("role") in {"system", "user"}:
        found.append(Finding("message_unrecognized_key", "only an assistant's message has a weight", f"{where}.weight"))
    return found


def _conversation_findings(messages: list[Row], column: str) -> list[Finding]:
    """What can only be said of messages that are each in order."""
    found: list[Finding] = []
    expected = "user"
    for i, message in enumerate(messages):
        role = message["role"]
        if i == 0 and role == "system":
            continue
        if role != expected:
            text = f"here the {expected} should speak, and {role} does: after the system come user, assistant, user, …"
            found.append(Finding("roles_do_not_alternate", text, f"{column}[{i}].role"))
            break
        expected = ASSISTANT if expected == "user" else "user"
    if not any(_turn(message).weight for message in messages):
        text = "no message of the assistant is there to learn from"
        found.append(Finding("example_missing_assistant_message", text, column))
    return found


def _turn(message: Row) -> Turn:
    weight = message.get("weight", 1) if message["role"] == ASSISTANT else 0
    return Turn(message["role"], message["content"], weight)


CHAT = Format(DataFormat.CHAT, ("messages",), _check_chat)
PROMPT_COMPLETION = Format(DataFormat.PROMPT_COMPLETION, (PROMPT, COMPLETION), _check_prompt_completion)
SUPPORTED = (CHAT, PROMPT_COMPLETION)

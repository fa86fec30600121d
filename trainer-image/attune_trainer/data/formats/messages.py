"""Lists of messages: from a file's dialect to turns, and what can be wrong with them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from attune_trainer.data.examples import ASSISTANT, Turn
from attune_trainer.data.formats.base import is_blank
from attune_trainer.data.formats.tools import call_findings, normal_calls
from attune_trainer.data.problems import Finding
from attune_trainer.data.rows import Row, shown, type_name

SYSTEM, USER, TOOL = "system", "user", "tool"


class Dialect(NamedTuple):
    """How a family of files spells a message."""

    field: str
    """The field that has the list."""
    role: str
    content: str
    roles: Mapping[str, str]
    """The templates' word for each role, by the files' word."""
    keys: tuple[str, ...]


OPENAI = Dialect(
    "messages",
    "role",
    "content",
    {role: role for role in (SYSTEM, USER, ASSISTANT, TOOL)},
    ("role", "content", "weight", "name", "tool_calls", "tool_call_id"),
)
SHAREGPT = Dialect(
    "conversations",
    "from",
    "value",
    {
        "system": SYSTEM,
        "human": USER,
        "user": USER,
        "gpt": ASSISTANT,
        "chatgpt": ASSISTANT,
        "assistant": ASSISTANT,
        "function_call": ASSISTANT,
        "tool": TOOL,
        "observation": TOOL,
        "function_response": TOOL,
    },
    ("from", "value", "weight"),
)
CALLS = "function_call"
"""ShareGPT's role of an assistant who calls a tool; the value is the call, as JSON."""


def read(value: Any, where: str, dialect: Dialect = OPENAI) -> tuple[Turn, ...] | list[Finding]:
    """The turns of a list of messages, each looked at by itself; or all that is wrong with them.

    Args:
        value: what the file has in the place of the list.
        where: its column, for fields of findings.
        dialect: how messages are spelled there.
    """
    if value is None or value == []:
        return [Finding("missing_messages_list", f"there is no list of messages in {where!r}", where)]
    if not isinstance(value, list):
        return [Finding("data_type", f"{where!r} must be a list, and is {type_name(value)}", where)]
    plain = [_plain(message, dialect) for message in value]
    if None not in plain:
        return tuple(turn for turn in plain if turn)
    findings = [f for i, message in enumerate(value) for f in _findings(message, f"{where}[{i}]", dialect)]
    return findings or tuple(_turn(message, dialect) for message in value)


def order_findings(turns: Sequence[Turn], places: Sequence[str]) -> list[Finding]:
    """What can only be said of messages that are each in order: who may speak after whom.

    Args:
        turns: a whole conversation.
        places: the field of each turn.
    """
    before = ""
    for i, (turn, place) in enumerate(zip(turns, places, strict=True)):
        if i == 0 and turn.role == SYSTEM:
            continue
        expected = _next(before)
        if turn.role not in expected:
            text = (
                f"here the {' or '.join(expected)} should speak, and {turn.role} does: after the system come user, "
                "assistant, user, …, and tools answer an assistant's tool_calls"
            )
            return [Finding("roles_do_not_alternate", text, place)]
        before = "calls" if "tool_calls" in turn.extra else turn.role
    return []


def places(where: str, count: int, key: str = "role") -> list[str]:
    """The fields of some messages' roles: `messages[0].role`."""
    return [f"{where}[{i}].{key}" for i in range(count)]


def _next(before: str) -> tuple[str, ...]:
    return {"calls": (TOOL,), TOOL: (TOOL, ASSISTANT), USER: (ASSISTANT,)}.get(before, (USER,))


def _plain(message: Any, dialect: Dialect) -> Turn | None:
    """The turn of a message that is a role and a content and no more, as nearly all are: the fast way."""
    if not isinstance(message, dict) or len(message) != 2:  # noqa: PLR2004 - role and content
        return None
    said, content = message.get(dialect.role), message.get(dialect.content)
    role = dialect.roles.get(said) if isinstance(said, str) and said != CALLS else None
    if role is None or not isinstance(content, str) or is_blank(content):
        return None
    return Turn(role, content, int(role == ASSISTANT))


def _findings(message: Any, where: str, dialect: Dialect) -> list[Finding]:
    if not isinstance(message, dict):
        return [Finding("data_type", f"a message must be an object, and is {type_name(message)}", where)]
    found: list[Finding] = []
    role, content = message.get(dialect.role), message.get(dialect.content)
    calls = message.get("tool_calls") if "tool_calls" in dialect.keys else None
    found += [
        Finding("message_missing_key", f"the message has no {key!r}", f"{where}.{key}")
        for key in (dialect.role, dialect.content)
        if key not in message and not (calls and key == dialect.content)
    ]
    for key, value in message.items():
        if key not in dialect.keys and value is not None:
            text = f"{shown(key)} is not one of {', '.join(dialect.keys)}"
            found.append(Finding("message_unrecognized_key", text, f"{where}.{key[:60]}"))
    if dialect.role in message and not (isinstance(role, str) and role in dialect.roles):
        text = f"the role {shown(role)} is not one of {', '.join(dialect.roles)}"
        found.append(Finding("unrecognized_role", text, f"{where}.{dialect.role}"))
    if dialect.content in message and is_blank(content) and not (calls and content is None):
        found.append(Finding("missing_content", "the message is empty", f"{where}.{dialect.content}"))
    elif content is not None and not isinstance(content, str):
        text = f"the content must be a text, and is {type_name(content)}"
        found.append(Finding("data_type", text, f"{where}.{dialect.content}"))
    return found + _weight_findings(message, where, dialect) + _tool_findings(message, where, dialect)


def _weight_findings(message: Row, where: str, dialect: Dialect) -> list[Finding]:
    weight = message.get("weight")
    if weight is None:
        return []
    if isinstance(weight, bool) or weight not in (0, 1):
        return [Finding("data_type", f"the weight must be 0 or 1, and is {shown(weight)}", f"{where}.weight")]
    role = message.get(dialect.role)
    if isinstance(role, str) and dialect.roles.get(role, ASSISTANT) != ASSISTANT:
        return [Finding("message_unrecognized_key", "only an assistant's message has a weight", f"{where}.weight")]
    return []


def _tool_findings(message: Row, where: str, dialect: Dialect) -> list[Finding]:
    if dialect is SHAREGPT:
        return _spelled_call_findings(message, where)
    found = [
        Finding("data_type", f"{key!r} must be a text, and is {type_name(message[key])}", f"{where}.{key}")
        for key in ("name", "tool_call_id")
        if message.get(key) is not None and not isinstance(message[key], str)
    ]
    for key, role in (("tool_calls", ASSISTANT), ("tool_call_id", TOOL)):
        said = message.get(dialect.role)
        if message.get(key) and isinstance(said, str) and said in dialect.roles and said != role:
            text = f"only a message of role {role} has {key}"
            found.append(Finding("message_unrecognized_key", text, f"{where}.{key}"))
    return found + call_findings(message.get("tool_calls"), f"{where}.tool_calls")


def _spelled_call_findings(message: Row, where: str) -> list[Finding]:
    if message.get("from") != CALLS or not isinstance(message.get("value"), str):
        return []
    try:
        call = json.loads(message["value"])
    except (ValueError, RecursionError):
        return [Finding("data_type", "the value of a function_call must be JSON", f"{where}.value")]
    return call_findings(call if isinstance(call, list) else [call], f"{where}.value")


def _turn(message: Row, dialect: Dialect) -> Turn:
    role = dialect.roles[message[dialect.role]]
    content = message.get(dialect.content) or ""
    weight = message.get("weight")
    learnt = (1 if weight is None else int(weight)) if role == ASSISTANT else 0
    if message[dialect.role] == CALLS:
        return _calling(content, learnt)
    extra = {key: message[key] for key in ("tool_call_id", "name") if message.get(key) is not None}
    if calls := message.get("tool_calls"):
        extra["tool_calls"] = normal_calls(calls)
    return Turn(role, content, learnt, json.dumps(extra, ensure_ascii=False) if extra else "")


def _calling(text: str, weight: int) -> Turn:
    call = json.loads(text)
    calls = normal_calls(call if isinstance(call, list) else [call])
    return Turn(ASSISTANT, "", weight, json.dumps({"tool_calls": calls}, ensure_ascii=False))

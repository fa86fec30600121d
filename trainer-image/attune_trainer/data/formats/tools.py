"""Tools that a conversation may use, and an assistant's calls of them, as chat templates take them."""

import json
from typing import Any

from attune_trainer.data.problems import Finding
from attune_trainer.data.rows import Row, type_name


def tool_findings(value: Any, where: str) -> list[Finding]:
    """What is wrong with a row's list of tools; a text must be JSON of such a list."""
    tools = _loaded(value)
    if not isinstance(tools, list):
        return [Finding("data_type", f"{where!r} must be a list of tools, and is {type_name(value)}", where)]
    found = [
        Finding("data_type", f"a tool must be an object, and is {type_name(tool)}", f"{where}[{i}]")
        for i, tool in enumerate(tools)
        if not isinstance(tool, dict)
    ]
    return found or _unwritable(tools, where)


def tools_text(value: Any) -> str:
    """The canonical form: JSON of the list; empty where there are none."""
    tools = _loaded(value)
    return json.dumps(tools, ensure_ascii=False) if tools else ""


def call_findings(calls: Any, where: str) -> list[Finding]:
    """What is wrong with an assistant's tool_calls: each names a function and gives it arguments."""
    if calls is None:
        return []
    if not isinstance(calls, list):
        return [Finding("data_type", f"tool_calls must be a list, and is {type_name(calls)}", where)]
    return [f for i, call in enumerate(calls) for f in _call_findings(call, f"{where}[{i}]")]


def normal_calls(calls: list[Row]) -> list[Row]:
    """Calls with arguments as an object: templates write them out as JSON themselves."""
    return [_normal(call) for call in calls]


def _call_findings(call: Any, where: str) -> list[Finding]:
    if not isinstance(call, dict):
        return [Finding("data_type", f"a tool call must be an object, and is {type_name(call)}", where)]
    function = call.get("function", call)
    if not isinstance(function, dict):
        return [Finding("data_type", f"must be an object, and is {type_name(function)}", f"{where}.function")]
    inner = f"{where}.function" if "function" in call else where
    if not isinstance(function.get("name"), str):
        return [Finding("message_missing_key", "the call does not say the function's name", f"{inner}.name")]
    if not isinstance(_loaded(function.get("arguments", {})), dict):
        text = "arguments must be an object, or JSON of one"
        return [Finding("data_type", text, f"{inner}.arguments")]
    return _unwritable(_normal(call), where)


def _unwritable(value: Any, where: str) -> list[Finding]:
    """Values that JSON cannot hold: dates and bytes of .parquet, NaN and half characters of JSON within a text."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        why = "text in it holds half a character (a lone \\ud800 to \\udfff escape)"
    except (TypeError, ValueError, RecursionError) as error:
        why = str(error)
    else:
        return []
    return [Finding("data_type", f"{where!r} must be what JSON can hold: {why}", where)]


def _normal(call: Row) -> Row:
    function = call.get("function", call)
    said = {"name": function["name"], "arguments": _loaded(function.get("arguments", {}))}
    known = {key: call[key] for key in ("id",) if call.get(key) is not None}
    return {**known, "type": "function", "function": said}


def _loaded(value: Any) -> Any:
    if not isinstance(value, str):
        return [] if value is None else value
    try:
        return json.loads(value) if value.strip() else []
    except (ValueError, RecursionError):
        return value

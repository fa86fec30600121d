"""Preference pairs: a prompt, the answer that is wanted and the one that is not; TRL's and OpenAI's spellings."""

from os.path import commonprefix

from attune_contract.enums import DataFormat
from attune_trainer.data.examples import ASSISTANT, Pair
from attune_trainer.data.formats import answers, messages
from attune_trainer.data.formats.answers import Turns
from attune_trainer.data.formats.base import Checked, Format, Names, missing
from attune_trainer.data.formats.tools import tool_findings, tools_text
from attune_trainer.data.problems import Finding
from attune_trainer.data.rows import Row, type_name

_SPEAKS = "Assistant:"
"""Where an answer begins in conversations that are written out as one text (HH-RLHF)."""


def _explicit(row: Row, row_id: str, names: Names) -> Checked:
    columns = names.columns
    prompt = answers.side(row, columns["prompt"], "empty_prompt")
    chosen, rejected = (answers.side(row, columns[name], "empty_completion") for name in ("chosen", "rejected"))
    if isinstance(prompt, list) or isinstance(chosen, list) or isinstance(rejected, list):
        return [f for part in (prompt, chosen, rejected) if isinstance(part, list) for f in part]
    if _is_whole(chosen) and _is_whole(rejected) and not isinstance(chosen, str) and not isinstance(rejected, str):
        return _parted(row, row_id, names, chosen, rejected)
    if isinstance(prompt, str) and isinstance(chosen, str) is not isinstance(rejected, str):
        prompt = answers.joined(prompt, ())[0]  # one answer is messages, so both are of a conversation
    asked, wanted = answers.joined(prompt, chosen)
    return _pair(row, row_id, names, (asked, wanted, answers.joined(prompt, rejected)[1]), "prompt")


def _implicit(row: Row, row_id: str, names: Names) -> Checked:
    """Whole conversations: what both begin with is the prompt."""
    columns = names.columns
    if columns["prompt"] in row:  # only the rows by which the shape was found lack it
        return _explicit(row, row_id, names)
    chosen, rejected = (answers.side(row, columns[name], "empty_completion") for name in ("chosen", "rejected"))
    if isinstance(chosen, list) or isinstance(rejected, list):
        return [f for part in (chosen, rejected) if isinstance(part, list) for f in part]
    if isinstance(chosen, str) and isinstance(rejected, str):
        return _parted_text(row, row_id, names, chosen, rejected)
    if isinstance(chosen, str) or isinstance(rejected, str):
        text = f"{columns['chosen']!r} and {columns['rejected']!r} must both be texts or both be messages"
        return [Finding("data_type", text, columns["rejected"])]
    return _parted(row, row_id, names, chosen, rejected)


def _openai(row: Row, row_id: str, names: Names) -> Checked:
    columns = names.columns
    given, column = row.get(columns["input"]), columns["input"]
    if not isinstance(given, dict):
        return [Finding("data_type", f"{column!r} must be an object, and is {type_name(given)}", column)]
    asked = messages.read(given.get("messages"), f"{column}.messages")
    sides = [messages.read(row.get(columns[n]), columns[n]) for n in ("preferred_output", "non_preferred_output")]
    findings = [f for part in (asked, *sides) if isinstance(part, list) for f in part]
    if findings:
        return findings
    wanted, unwanted = (answers.weighed(tuple(turns), learnt=True) for turns in sides)  # type: ignore[arg-type]
    prompt = answers.weighed(tuple(asked), learnt=False)  # type: ignore[arg-type]
    return _pair(row | given, row_id, names, (prompt, wanted, unwanted), "input")


def _is_whole(side: str | Turns) -> bool:
    """Whether messages are a whole conversation, and not only what comes after the prompt."""
    return not isinstance(side, str) and side[0].role not in {ASSISTANT, messages.TOOL}


def _parted(row: Row, row_id: str, names: Names, chosen: Turns, rejected: Turns) -> Checked:
    columns = names.columns
    prompt = answers.shared(chosen, rejected)
    if answers.same(chosen, rejected):
        return [_identical(columns["rejected"])]
    if not prompt:
        text = (
            f"{columns['chosen']!r} and {columns['rejected']!r} are conversations that do not begin alike, so there "
            "is no prompt"
        )
        return [Finding("empty_prompt", text, columns["chosen"])]
    rest = [answers.weighed(turns[len(prompt) :], learnt=True) for turns in (chosen, rejected)]
    return _pair(row, row_id, names, (answers.weighed(prompt, learnt=False), rest[0], rest[1]), "chosen")


def _parted_text(row: Row, row_id: str, names: Names, chosen: str, rejected: str) -> Checked:
    """Two texts without a prompt: written-out conversations are cut where the assistant's last answer begins.

    Of other texts nobody can say where the prompt ends: answers may well begin with the same words.
    """
    if chosen.strip() == rejected.strip():
        return [_identical(names.columns["rejected"])]
    begin = commonprefix([chosen, rejected])  # noqa: RUF071 - by characters is what is meant
    speaks = begin.rfind(_SPEAKS)
    if speaks < 0:
        return [missing(row, names.columns["prompt"])]
    end = speaks + len(_SPEAKS)
    if not chosen[end:].strip() or not rejected[end:].strip():
        empty = "chosen" if not chosen[end:].strip() else "rejected"
        return [Finding("empty_completion", "nothing comes after the shared beginning", names.columns[empty])]
    prompt, wanted = answers.joined(begin[:end], chosen[end:])
    return _pair(row, row_id, names, (prompt, wanted, answers.joined(begin[:end], rejected[end:])[1]), "chosen")


def _pair(row: Row, row_id: str, names: Names, parts: tuple[Turns, Turns, Turns], asked: str) -> Checked:
    """The last checks, which all spellings share."""
    prompt, chosen, rejected = parts
    columns = names.columns
    wanted, unwanted = (
        (columns["chosen"], columns["rejected"])
        if "chosen" in columns
        else (columns["preferred_output"], columns["non_preferred_output"])
    )
    findings = answers.conversation_findings(prompt, chosen, columns[asked], wanted)
    findings += answers.conversation_findings(prompt, rejected, columns[asked], unwanted)
    if not findings and answers.same(chosen, rejected):
        findings = [_identical(unwanted)]
    tools = row.get(columns.get("tools", "tools"))
    if tools is not None:
        findings += tool_findings(tools, columns.get("tools", "tools"))
    return findings or (Pair(row_id, prompt, chosen, rejected, tools_text(tools) if tools else ""),)


def _identical(column: str) -> Finding:
    return Finding("identical_pair", "both answers say the same, so there is nothing to prefer", column)


EXPLICIT = Format(DataFormat.PREFERENCE, ("prompt", "chosen", "rejected"), _explicit, ("tools",))
OPENAI = Format(DataFormat.PREFERENCE, ("input", "preferred_output", "non_preferred_output"), _openai, (), "OpenAI's")
IMPLICIT = Format(DataFormat.PREFERENCE, ("chosen", "rejected"), _implicit, ("prompt", "tools"), "whole conversations")

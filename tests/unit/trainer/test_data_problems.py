"""A corpus of broken rows: each gives its code, line and field, and nothing crashes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import trainer_data as data_of
from attune_trainer.data.encoding.supervised import Encoder

USER = {"role": "user", "content": "Sky?"}
ANSWER = {"role": "assistant", "content": "blue"}
CALL = {"type": "function", "function": {"name": "look", "arguments": {"at": "sky"}}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TOOL = {"role": "tool", "content": "a lot of blue"}


def chat(*messages: Any, **more: Any) -> str:
    return json.dumps({"messages": list(messages), **more})


PROMPT_COMPLETION_CASES = [
    ("truncated json", '{"prompt": "a", "comp', "invalid_json", None),
    ("bare word", "hello", "invalid_json", None),
    ("python's single quotes", "{'prompt': 'a', 'completion': 'b'}", "invalid_json", None),
    ("two objects in a line", data_of.prompt_completion() * 2, "invalid_json", None),
    ("comma after the last", '{"prompt": "a", "completion": "b",}', "invalid_json", None),
    ("NaN", '{"prompt": "a", "completion": NaN}', "invalid_json", None),
    ("infinity", '{"prompt": "a", "completion": -Infinity}', "invalid_json", None),
    ("a key twice", '{"prompt": "a", "prompt": "b", "completion": "c"}', "invalid_json", None),
    ("nested too deeply", "[" * 200_000 + "]" * 200_000, "invalid_json", None),
    ("a number too long to read", '{"prompt": ' + "9" * 5000 + ', "completion": "a"}', "invalid_json", None),
    ("half a character", '{"prompt": "\\ud83d", "completion": "a"}', "encoding_error", None),
    ("a list", "[1, 2]", "data_type", None),
    ("a text", '"prompt"', "data_type", None),
    ("null", "null", "data_type", None),
    ("a number", "17", "data_type", None),
    ("no completion", '{"prompt": "a"}', "missing_column", "completion"),
    ("no prompt", '{"completion": "a"}', "missing_column", "prompt"),
    ("empty object", "{}", "missing_column", "prompt"),
    ("wrong case", '{"Prompt": "a", "completion": "b"}', "missing_column", "prompt"),
    ("empty prompt", '{"prompt": "", "completion": "b"}', "empty_prompt", "prompt"),
    ("blank prompt", '{"prompt": " \\n\\t", "completion": "b"}', "empty_prompt", "prompt"),
    ("null prompt", '{"prompt": null, "completion": "b"}', "empty_prompt", "prompt"),
    ("empty completion", '{"prompt": "a", "completion": ""}', "empty_completion", "completion"),
    ("no-break space as completion", '{"prompt": "a", "completion": "\\u00a0"}', "empty_completion", "completion"),
    ("number as completion", '{"prompt": "a", "completion": 5}', "data_type", "completion"),
    ("list as prompt", '{"prompt": ["a"], "completion": "b"}', "data_type", "prompt"),
    ("true as completion", '{"prompt": "a", "completion": true}', "data_type", "completion"),
    ("prompt too long", json.dumps({"prompt": "word " * 100, "completion": "b"}), "prompt_too_long", None),
]

CHAT_CASES = [
    ("no messages", '{"prompt": "a"}', "missing_messages_list", "messages"),
    ("empty list", '{"messages": []}', "missing_messages_list", "messages"),
    ("null list", '{"messages": null}', "missing_messages_list", "messages"),
    ("text for a list", '{"messages": "hi"}', "data_type", "messages"),
    ("object for a list", '{"messages": {"role": "user"}}', "data_type", "messages"),
    ("text for a message", chat("hi", ANSWER), "data_type", "messages[0]"),
    ("null for a message", chat(USER, None), "data_type", "messages[1]"),
    ("no role", chat({"content": "a"}, ANSWER), "message_missing_key", "messages[0].role"),
    ("no content", chat(USER, {"role": "assistant"}), "message_missing_key", "messages[1].content"),
    ("unknown key", chat({**USER, "colour": 1}, ANSWER), "message_unrecognized_key", "messages[0].colour"),
    (
        "calls by a user",
        chat({**USER, "tool_calls": [CALL]}, ANSWER),
        "message_unrecognized_key",
        "messages[0].tool_calls",
    ),
    ("calls as text", chat(USER, {**ANSWER, "tool_calls": "f()"}), "data_type", "messages[1].tool_calls"),
    (
        "a call of nothing",
        chat(USER, {**ANSWER, "tool_calls": [{}]}),
        "message_missing_key",
        "messages[1].tool_calls[0].name",
    ),
    (
        "arguments that are no JSON",
        chat(USER, {**ANSWER, "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}),
        "data_type",
        "messages[1].tool_calls[0].function.arguments",
    ),
    ("a tool nobody called", chat(USER, TOOL, ANSWER), "roles_do_not_alternate", "messages[1].role"),
    ("calls without an answer", chat(USER, CALLING, USER, ANSWER), "roles_do_not_alternate", "messages[2].role"),
    ("tools as an object", chat(USER, ANSWER, tools={}), "data_type", "tools"),
    ("a tool that is none", chat(USER, ANSWER, tools=["f"]), "data_type", "tools[0]"),
    ("unknown role", chat({"role": "human", "content": "a"}, ANSWER), "unrecognized_role", "messages[0].role"),
    ("role of another type", chat({"role": 7, "content": "a"}, ANSWER), "unrecognized_role", "messages[0].role"),
    ("role as a list", chat({"role": ["user"], "content": "a"}, ANSWER), "unrecognized_role", "messages[0].role"),
    (
        "a call by a list of roles",
        chat({"role": ["user"], "content": "a", "tool_calls": [CALL]}, ANSWER),
        "unrecognized_role",
        "messages[0].role",
    ),
    ("tools with NaN in a text", chat(USER, ANSWER, tools='[{"a": NaN}]'), "data_type", "tools"),
    (
        "half a character in arguments",
        chat(USER, {**ANSWER, "tool_calls": [{"function": {"name": "f", "arguments": '{"a": "\\ud83d"}'}}]}),
        "data_type",
        "messages[1].tool_calls[0]",
    ),
    ("null content", chat(USER, {"role": "assistant", "content": None}), "missing_content", "messages[1].content"),
    ("blank content", chat(USER, {"role": "assistant", "content": "  "}), "missing_content", "messages[1].content"),
    ("parts for content", chat({"role": "user", "content": [1]}, ANSWER), "data_type", "messages[0].content"),
    ("weight of two", chat(USER, {**ANSWER, "weight": 2}), "data_type", "messages[1].weight"),
    ("weight of true", chat(USER, {**ANSWER, "weight": True}), "data_type", "messages[1].weight"),
    ("weight as an object", chat(USER, {**ANSWER, "weight": {}}), "data_type", "messages[1].weight"),
    ("a user's weight", chat({**USER, "weight": 1}, ANSWER), "message_unrecognized_key", "messages[0].weight"),
    ("assistant first", chat(ANSWER, USER), "roles_do_not_alternate", "messages[0].role"),
    ("user twice", chat(USER, USER, ANSWER), "roles_do_not_alternate", "messages[1].role"),
    (
        "system late",
        chat(USER, {"role": "system", "content": "x"}, ANSWER),
        "roles_do_not_alternate",
        "messages[1].role",
    ),
    ("nobody answers", chat(USER), "example_missing_assistant_message", "messages"),
    ("no answer counts", chat(USER, {**ANSWER, "weight": 0}), "example_missing_assistant_message", "messages"),
]


def ids(cases: list[tuple[str, str, str, str | None]]) -> list[Any]:
    return [pytest.param(*case[1:], id=case[0]) for case in cases]


@pytest.mark.parametrize(("line", "code", "field"), ids(PROMPT_COMPLETION_CASES))
def test_a_broken_prompt_completion_row(data: Path, encoder: Encoder, line: str, code: str, field: str | None) -> None:
    assert_found(data, encoder, data_of.prompt_completion, line, code, field)


@pytest.mark.parametrize(("line", "code", "field"), ids(CHAT_CASES))
def test_a_broken_conversation(data: Path, encoder: Encoder, line: str, code: str, field: str | None) -> None:
    assert_found(data, encoder, data_of.chat, line, code, field)


def assert_found(
    data: Path, encoder: Encoder, good: Callable[[int], str], bad: str, code: str, field: str | None
) -> None:
    """The bad line among good ones is found at its line, is the only one dropped, and is said in a sentence."""
    (data / "train.jsonl").write_text("\n".join([good(1), good(2), bad, good(4)]) + "\n", encoding="utf-8")
    checked, problems = data_of.check(data, encoder)
    found = data_of.errors(problems)

    assert (found[0].code, found[0].line, found[0].field) == (code, 3, field)
    assert found[0].file == f"file://{data}/train.jsonl"
    assert len(found[0].message) > 10
    assert {error.line for error in found} == {3}
    assert sum(source.invalid_rows for source in checked.sources) == 1
    assert sum(source.rows for source in checked.sources) == 4


BYTES = [
    ("bytes that are not UTF-8", b'{"prompt": "caf\xe9", "completion": "b"}', "encoding_error"),
    ("cut in a character", '{"prompt": "é'.encode()[:-1] + b'", "completion": "b"}', "encoding_error"),
    ("a NUL byte", b'{"prompt": "a\x00", "completion": "b"}', "invalid_json"),
]


@pytest.mark.parametrize(("line", "code"), [pytest.param(*case[1:], id=case[0]) for case in BYTES])
def test_a_row_of_broken_bytes(data: Path, encoder: Encoder, line: bytes, code: str) -> None:
    good = [data_of.prompt_completion(i).encode() for i in range(3)]
    (data / "train.jsonl").write_bytes(b"\n".join([good[0], line, *good[1:]]))
    _, problems = data_of.check(data, encoder)

    assert [(e.code, e.line) for e in data_of.errors(problems)] == [(code, 2)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_a_file_of_another_encoding_is_one_problem(data: Path, encoder: Encoder, encoding: str) -> None:
    mark = "\ufeff" if encoding.endswith("be") else ""
    (data / "a.jsonl").write_text("\n".join(map(data_of.prompt_completion, range(3))), encoding="utf-8")
    (data / "b.jsonl").write_bytes((mark + data_of.prompt_completion()).encode(encoding))
    _, problems = data_of.check(data, encoder)

    assert [(e.code, e.line) for e in data_of.errors(problems)] == [("encoding_error", 1)]


def test_every_problem_of_a_row_is_told_at_once(data: Path, encoder: Encoder) -> None:
    bad = chat({"role": "human", "content": ""}, {"content": None, "x": 1})
    (data / "train.jsonl").write_text(
        "\n".join([data_of.chat(1), data_of.chat(2), bad, data_of.chat(4)]), encoding="utf-8"
    )
    _, problems = data_of.check(data, encoder)

    assert [e.code for e in data_of.errors(problems)] == [
        "unrecognized_role",
        "missing_content",
        "message_missing_key",
        "message_unrecognized_key",
        "missing_content",
    ]


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        pytest.param("", ["too_few_rows"] * 2, id="empty-file"),
        pytest.param("\n\n \r\n", ["too_few_rows"] * 2, id="only-blank-lines"),
        pytest.param('{"question": "a", "answer": "b"}\n', ["missing_column"], id="other-columns"),
        pytest.param(data_of.prompt_completion(), ["too_few_rows"], id="one-row"),
    ],
)
def test_a_file_that_cannot_be_used_at_all(data: Path, encoder: Encoder, text: str, codes: list[str]) -> None:
    (data / "train.jsonl").write_text(text, encoding="utf-8")
    _, problems = data_of.check(data, encoder)

    assert [e.code for e in data_of.errors(problems)] == codes


def test_chat_without_a_template_is_one_problem_and_not_one_per_row(data: Path, tokenizer: Any) -> None:
    bare = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|endoftext|>")
    (data / "train.jsonl").write_text("\n".join(map(data_of.chat, range(5))), encoding="utf-8")
    _, problems = data_of.check(data, Encoder(bare, 64))

    assert [(e.code, e.file) for e in data_of.errors(problems)] == [("no_chat_template", "file:///model")]


def test_a_conversation_that_the_template_refuses_is_found_among_good_ones(data: Path, tokenizer: Any) -> None:
    strict = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|endoftext|>")
    strict.chat_template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{{ m.content }}{% endfor %}"
    )
    bad = chat({"role": "system", "content": "s"}, USER, ANSWER)
    (data / "train.jsonl").write_text(
        f"{data_of.chat(1)}\n{bad}\n{data_of.chat(3)}\n{data_of.chat(4)}", encoding="utf-8"
    )
    _, problems = data_of.check(data, Encoder(strict, 64))
    found = data_of.errors(problems)

    assert [(e.code, e.line) for e in found] == [("chat_template_error", 2)]
    assert "no system role" in found[0].message


def test_no_message_is_longer_than_people_read(data: Path, encoder: Encoder) -> None:
    giant = "x" * 1_000_000
    lines = [
        chat({"role": giant, "content": "a"}),
        chat({**USER, giant: 1}, ANSWER),
        chat(USER, {**ANSWER, "weight": giant}),
        json.dumps({giant: 1}),
    ]
    (data / "train.jsonl").write_text("\n".join([data_of.chat(1), data_of.chat(2), data_of.chat(3), *lines]))
    _, problems = data_of.check(data, encoder)

    assert len(data_of.errors(problems)) >= 4
    assert all(len(e.message) + len(e.field or "") < 500 for e in data_of.errors(problems))


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(chat(USER, ANSWER, USER, ANSWER), id="several-answers"),
        pytest.param(chat(USER, ANSWER, USER), id="the-user-has-the-last-word"),
    ],
)
def test_a_conversation_that_cannot_be_learnt_is_found_however_late(data: Path, tokenizer: Any, bad: str) -> None:
    forgetful = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|endoftext|>")
    forgetful.chat_template = "{% for m in messages[-2:] %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    (data / "train.jsonl").write_text("\n".join([*map(data_of.chat, range(150)), bad]), encoding="utf-8")
    _, problems = data_of.check(data, Encoder(forgetful, 64))

    assert [(e.code, e.line) for e in data_of.errors(problems)] == [("chat_template_error", 151)]


def test_accuracy_needs_a_closed_set(data: Path, encoder: Encoder) -> None:
    rows = [json.dumps({"prompt": f"p{i}", "completion": f"c{i}"}) for i in range(100)]
    (data / "train.jsonl").write_text("\n".join(rows), encoding="utf-8")

    assert [e.code for e in data_of.errors(data_of.check(data, encoder, closed=True)[1])] == [
        "accuracy_needs_closed_set"
    ]
    assert not data_of.errors(data_of.check(data, encoder, closed=False)[1])


def test_the_log_keeps_the_first_and_counts_all(data: Path, encoder: Encoder) -> None:
    (data / "train.jsonl").write_text(data_of.prompt_completion() + "\n" + "oops\n" * 500, encoding="utf-8")
    _, problems = data_of.check(data, encoder)

    assert len(problems.first) == 20
    assert problems.counts["invalid_json"] == 500
    assert sum(1 for _ in problems.all()) == problems.total

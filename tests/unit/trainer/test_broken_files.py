"""A corpus of broken files: each gives its code and line, and none crashes, hangs or is read twice.

Broken rows of the two formats of SFT as JSON Lines are in test_data_problems.py; these are all the other ways.
"""

import datetime as dt
import gzip
import io
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
import zstandard
from pyarrow import parquet

import trainer_data as data_of
from attune_trainer import digests
from attune_trainer.data.encoding.supervised import Encoder

PC, CHAT = data_of.prompt_completion, data_of.chat
Found = list[tuple[str, int | None]]


class Case(NamedTuple):
    """One broken file of a dataset that is otherwise in order."""

    id: str
    name: str
    content: bytes
    expected: Found
    """Code and line of every problem."""
    method: str = "SFT"
    spec: dict[str, Any] = {}


def lines(*rows: str) -> bytes:
    return ("\n".join(rows) + "\n").encode()


def js(**row: Any) -> str:
    return json.dumps(row)


def pq(**columns: list[Any]) -> bytes:
    made = io.BytesIO()
    parquet.write_table(pa.table(columns), made)
    return made.getvalue()


def zst(data: bytes) -> bytes:
    return zstandard.compress(data)


def pair(**row: Any) -> str:
    return js(**{"prompt": "p", "chosen": "a", "rejected": "b"} | row)


def rated(**row: Any) -> str:
    return js(**{"prompt": "p", "completion": "c", "label": True} | row)


def user(text: str = "p") -> dict[str, str]:
    return {"role": "user", "content": text}


def says(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


GOOD = lines(*map(PC, range(4)))
MANY = lines(*map(PC, range(20_000)))
PAIRS = lines(*(pair(prompt=f"p{i}") for i in range(4)))
RATED = lines(*(rated(prompt=f"p{i}", label=i % 2) for i in range(8)))
TEXTS = lines(*(js(text=f"text {i}") for i in range(4)))
LABELED = lines(*(js(text=f"text {i}", label=["yes", "no"][i % 2]) for i in range(8)))
GIANT = "x" * (50 << 20)
OPENAI = {"input": {"messages": [user()]}, "preferred_output": [says("a")], "non_preferred_output": [says("b")]}
SHAREGPT = [{"from": "human", "value": "Sky?"}, {"from": "gpt", "value": "blue"}]
SCORE = {"rating": {"desirableFrom": 0.5}}

FILES = [
    # Encodings
    Case("utf-16", "b.jsonl", PC().encode("utf-16"), [("encoding_error", 1)]),
    Case("utf-16 csv", "b.csv", "prompt,completion\na,b\n".encode("utf-16"), [("encoding_error", 1)]),
    Case("utf-16 json", "b.json", f"[{PC()}]".encode("utf-16"), [("encoding_error", 1)]),
    Case("utf-16 without a mark, csv", "b.csv", "prompt,completion\na,b".encode("utf-16-le"), [("encoding_error", 1)]),
    Case("latin-1 csv", "b.csv", b"prompt,completion\na,b\ncaf\xe9,b\n", [("encoding_error", 3)]),
    Case("latin-1 json", "b.json", b'[\n{"prompt": "caf\xe9", "completion": "b"}]', [("encoding_error", 2)]),
    Case("latin-1 text", "b.txt", b"one\n\ncaf\xe9\n", [("encoding_error", 3)], "ContinuedPretraining"),
    Case("NUL in csv", "b.csv", b"prompt,completion\na,b\na\0,b\n", [("encoding_error", 3)]),
    Case("half a character", "b.jsonl", lines(PC(), js(prompt="\ud83d", completion="b")), [("encoding_error", 2)]),
    # Compression
    Case("gzip that ends early", "b.jsonl.gz", gzip.compress(MANY)[:-50], [("encoding_error", None)]),
    Case("zstd that ends early", "b.jsonl.zst", zst(MANY)[:-50], [("encoding_error", None)]),
    Case(
        "gzip csv that ends early",
        "b.csv.gz",
        gzip.compress(b"prompt,completion\na,b\n")[:-6],
        [("encoding_error", None)],
    ),
    Case("no gzip", "b.jsonl.gz", GOOD, [("encoding_error", None)]),
    Case("no zstd", "b.jsonl.zst", GOOD, [("encoding_error", None)]),
    Case("damaged gzip", "b.jsonl.gz", gzip.compress(GOOD)[:-8] + b"\0" * 8, [("encoding_error", None)]),
    Case("empty gzip", "b.jsonl.gz", b"", [("encoding_error", None)]),
    Case("empty zstd", "b.jsonl.zst", b"", [("encoding_error", None)]),
    # Long lines
    Case("a line of 50 MB", "b.jsonl", lines(PC(), js(prompt=GIANT, completion="b"), PC(2)), [("prompt_too_long", 2)]),
    Case("a cell of 50 MB", "b.csv", f"prompt,completion\na,b\n{GIANT},b\nc,d\n".encode(), [("prompt_too_long", 3)]),
    Case("a json row of 50 MB", "b.json", f"[\n{js(prompt=GIANT, completion='b')}]".encode(), [("prompt_too_long", 2)]),
    # JSON documents
    Case("list not closed", "b.json", f"[{PC(1)},\n{PC(2)}".encode(), [("invalid_json", 2)]),
    Case("list cut in a row", "b.json", f"[\n{PC(1)},\n{PC(2)[:20]}".encode(), [("invalid_json", 3)]),
    Case("list with a bad row", "b.json", f"[\n{PC(1)},\n{{bad}},\n{PC(2)}\n]".encode(), [("invalid_json", 3)]),
    Case("no comma", "b.json", f"[\n{PC(1)}\n{PC(2)}\n]".encode(), [("invalid_json", 3)]),
    Case("comma at the end", "b.json", f"[\n{PC(1)},\n{PC(2)},\n]".encode(), [("invalid_json", 3)]),
    Case("text after the list", "b.json", f"[{PC(1)}]\nend".encode(), [("invalid_json", 2)]),
    Case("list of texts", "b.json", b'["a",\n"b"]', [("data_type", 1), ("data_type", 2)]),
    Case("nested too deeply", "b.json", b"[" * 200_000, [("invalid_json", 1)]),
    Case(
        "a key twice in a list",
        "b.json",
        b'[\n{"prompt": "a", "prompt": "b", "completion": "c"}\n]',
        [("invalid_json", 2)],
    ),
    Case(
        "a field missing, pretty-printed",
        "b.json",
        json.dumps([json.loads(PC()), {"prompt": "a"}], indent=2).encode(),
        [("missing_column", 6)],
    ),
    Case("lines in a .json", "b.json", lines(PC(1), "bad", PC(2)), [("invalid_json", 2)]),
    # CSV and TSV
    Case("too few cells", "b.csv", b"prompt,completion\na,b\na\n", [("missing_column", 3)]),
    Case("too many cells", "b.csv", b"prompt,completion\na,b,c\n", [("data_type", 2)]),
    Case("quote not closed", "b.csv", b'prompt,completion\na,b\n"a,b\nc,d\n', [("data_type", 3)]),
    Case("quote in a cell", "b.csv", b'prompt,completion\n"a"b,c\na,b\n', [("data_type", 2)]),
    Case("only commas", "b.csv", b"prompt,completion\n,\na,b\n", [("empty_prompt", 2), ("empty_completion", 2)]),
    Case("empty cell", "b.csv", b"prompt,completion\na,\n", [("empty_completion", 2)]),
    Case("semicolons", "b.csv", b"prompt;completion\na;b\n", [("missing_column", 2), ("missing_column", 2)]),
    Case("a column twice", "b.csv", b"prompt,prompt,completion\na,b,c\n", [("data_type", 1)]),
    Case("after a cell of several lines", "b.csv", b'prompt,completion\n"a\nb\n\nc",d\n,e\n', [("empty_prompt", 6)]),
    Case("commas in a tsv", "b.tsv", b"prompt,completion\na,b\n", [("missing_column", 2), ("missing_column", 2)]),
    Case("too few tabs", "b.tsv", b"prompt\tcompletion\r\na\tb\r\nc\r\n", [("missing_column", 3)]),
    # Parquet
    Case("no parquet", "b.parquet", b"PAR1 this is none PAR1", [("encoding_error", None)]),
    Case("empty parquet", "b.parquet", b"", [("encoding_error", None)]),
    Case("parquet cut", "b.parquet", pq(prompt=["a"], completion=["b"])[:-20], [("encoding_error", None)]),
    Case(
        "numbers in parquet",
        "b.parquet",
        pq(prompt=["a", "b"], completion=[1, 2]),
        [("data_type", 1), ("data_type", 2)],
    ),
    Case("bytes in parquet", "b.parquet", pq(prompt=[b"a"], completion=["b"]), [("data_type", 1)]),
    Case("null in parquet", "b.parquet", pq(prompt=["a", None], completion=["b", "c"]), [("empty_prompt", 2)]),
    Case("no column in parquet", "b.parquet", pq(prompt=["a"]), [("missing_column", 1)]),
    Case(
        "not UTF-8 in parquet",
        "b.parquet",
        pq(prompt=pa.array([b"a", b"caf\xe9"]).view(pa.string()), completion=["b", "c"]),
        [("encoding_error", 2)],
    ),
    Case(
        "parquet.gz that ends early",
        "b.parquet.gz",
        gzip.compress(pq(prompt=["a"], completion=["b"]))[:-9],
        [("encoding_error", None)],
    ),
    Case(
        "a date in tools",
        "b.parquet",
        pq(messages=[[user(), says("a")]], tools=[[{"since": dt.datetime(2024, 1, 1)}]]),  # noqa: DTZ001
        [("data_type", 1)],
        spec={"format": "Chat"},
    ),
    Case(
        "bytes in a call",
        "b.parquet",
        pq(messages=[[user(), says("a") | {"tool_calls": [{"id": b"1", "function": {"name": "f"}}]}]]),
        [("data_type", 1)],
        spec={"format": "Chat"},
    ),
    # Plain text
    Case("text for SFT", "b.txt", b"Once upon a time.\n", [("data_type", None)]),
    Case("text for DPO", "b.txt.gz", gzip.compress(b"Once"), [("data_type", None)], "DPO"),
    Case("NUL in text", "b.txt", b"a\n\0\n", [("encoding_error", 2)], "ContinuedPretraining"),
    # Chat and its kin
    Case(
        "ShareGPT without a speaker",
        "b.jsonl",
        lines(js(messages=None)),
        [("missing_messages_list", 1)],
        spec={"format": "Chat"},
    ),
    # Preference
    Case("identical pair", "b.jsonl", lines(pair(), pair(rejected=" a ")), [("identical_pair", 2)], "DPO"),
    Case(
        "identical messages",
        "b.jsonl",
        lines(pair(chosen=[says("a")], rejected=[says("a")])),
        [("identical_pair", 1)],
        "DPO",
    ),
    Case("no rejected", "b.jsonl", lines(js(prompt="p", chosen="a")), [("missing_column", 1)], "ORPO"),
    Case(
        "no prompt, and answers that begin alike",
        "b.jsonl",
        lines(pair(), js(chosen="The answer is 4.", rejected="The answer is 5.")),
        [("missing_column", 2)],
        "DPO",
    ),
    Case("empty chosen", "b.jsonl", lines(pair(chosen=" ")), [("empty_completion", 1)], "DPO"),
    Case("chosen as a number", "b.jsonl", lines(pair(chosen=5)), [("data_type", 1)], "DPO"),
    Case("chosen as no messages", "b.jsonl", lines(pair(chosen=[])), [("missing_messages_list", 1)], "DPO"),
    Case("blank prompt", "b.jsonl", lines(pair(prompt="\t")), [("empty_prompt", 1)], "DPO"),
    Case(
        "the user answers",
        "b.jsonl",
        lines(pair(prompt=[user()], chosen=[user("a")], rejected=[says("b")])),
        [("roles_do_not_alternate", 1), ("example_missing_assistant_message", 1)],
        "DPO",
    ),
    Case(
        "a role nobody has",
        "b.jsonl",
        lines(pair(prompt=[{"role": "bot", "content": "a"}])),
        [("unrecognized_role", 1)],
        "DPO",
    ),
    Case("a prompt that is too long", "b.jsonl", lines(pair(prompt="word " * 200)), [("prompt_too_long", 1)], "DPO"),
    # Ratings
    Case("NaN", "b.jsonl", lines(rated(label=float("nan"))), [("rating_not_a_number", 1)], "KTO"),
    Case("NaN elsewhere", "b.jsonl", lines(rated(completion=float("nan"))), [("invalid_json", 1)], "KTO"),
    Case(
        "NaN with scores",
        "b.json",
        f"[{rated(label=float('nan'))}]".encode(),
        [("rating_not_a_number", 1)],
        "KTO",
        SCORE,
    ),
    Case(
        "NaN in parquet",
        "b.parquet",
        pq(prompt=["a"], completion=["b"], label=[float("nan")]),
        [("rating_not_a_number", 1)],
        "KTO",
        SCORE,
    ),
    Case("NaN in csv", "b.csv", b"prompt,completion,label\na,b,nan\n", [("rating_not_a_number", 2)], "KTO", SCORE),
    Case("infinite", "b.jsonl", lines(rated().replace("true", "1e999")), [("rating_not_a_number", 1)], "KTO", SCORE),
    Case(
        "a number that no float holds",
        "b.jsonl",
        lines(rated(label=10**400)),
        [("rating_not_a_number", 1)],
        "KTO",
        SCORE,
    ),
    Case("a number as text", "b.jsonl", lines(rated(label="4")), [("rating_not_a_number", 1)], "KTO", SCORE),
    Case("true as text", "b.jsonl", lines(rated(label="true")), [("rating_not_a_number", 1)], "KTO"),
    Case("a word in csv", "b.csv", b"prompt,completion,label\na,b,good\n", [("rating_not_a_number", 2)], "KTO"),
    Case("null", "b.jsonl", lines(rated(label=None)), [("rating_not_a_number", 1)], "KTO"),
    Case("a score without a threshold", "b.jsonl", lines(rated(label=4)), [("rating_not_a_number", 1)], "KTO"),
    Case("no label", "b.jsonl", lines(js(prompt="a", completion="b")), [("missing_column", 1)], "KTO"),
    Case("no completion", "b.jsonl", lines(rated(completion="")), [("empty_completion", 1)], "KTO"),
    # Documents and labels
    Case("empty text", "b.jsonl", lines(js(text=" \u00a0")), [("empty_prompt", 1)], "ContinuedPretraining"),
    Case("a number for text", "b.jsonl", lines(js(text=5)), [("data_type", 1)], "ContinuedPretraining"),
    Case("nested nulls", "b.jsonl", lines(js(text=[None, {"a": [None]}])), [("data_type", 1)], "ContinuedPretraining"),
    Case("no text", "b.jsonl", lines(js(body="a")), [("missing_column", 1)], "ContinuedPretraining"),
    Case("empty label", "b.jsonl", lines(js(text="a", label="")), [("empty_completion", 1)], "Classification"),
    Case("label of parts", "b.jsonl", lines(js(text="a", label=0.5)), [("data_type", 1)], "Classification"),
    Case("label as a list", "b.jsonl", lines(js(text="a", label=["yes"])), [("data_type", 1)], "Classification"),
    Case(
        "label nobody knows",
        "test.jsonl",
        lines(js(text="a", label="yes"), js(text="b", label="maybe")),
        [("unknown_label", 2)],
        "Classification",
    ),
]
BESIDE = {
    "SFT": GOOD,
    "DPO": PAIRS,
    "ORPO": PAIRS,
    "KTO": RATED,
    "ContinuedPretraining": TEXTS,
    "Classification": LABELED,
}
HEAD = {"classification": {"style": "Head"}}


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in FILES])
def test_a_broken_file_among_good_ones(data: Path, encoder: Encoder, case: Case) -> None:
    beside = lines(*map(CHAT, range(4))) if case.spec.get("format") == "Chat" else BESIDE[case.method]
    (data / "a.jsonl").write_bytes(beside)
    (data / case.name).write_bytes(case.content)
    work = HEAD if case.method == "Classification" else {}
    given = {"test": True} if case.name.startswith("test") else {}
    checked, problems = data_of.check(data, encoder, method=case.method, work=work | METRIC, **given, **case.spec)
    found = data_of.errors(problems)

    assert [(e.code, e.line) for e in found] == case.expected, found
    assert {e.file for e in found} == {f"file://{data}/{case.name}"}
    assert all(10 < len(e.message) < 500 for e in found)
    assert {s.sha256 for s in checked.sources} - {""} <= {digests.of_bytes(c) for c in (case.content, beside)}


METRIC: dict[str, Any] = {"evaluation": {}}


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in FILES if "format" not in case.spec])
def test_a_broken_file_alone_whose_format_is_to_be_found(data: Path, encoder: Encoder, case: Case) -> None:
    (data / case.name.replace("test", "train")).write_bytes(case.content)
    work = HEAD if case.method == "Classification" else {}
    _, problems = data_of.check(data, encoder, method=case.method, work=work | METRIC, **case.spec)
    found = [(e.code, e.line) for e in data_of.errors(problems)]
    # Without train, there is no label that test could lack.
    expected = {(code, line) for code, line in case.expected if code != "unknown_label"}

    assert expected <= set(found)
    assert {code for code, _ in set(found) - expected} <= {"too_few_rows"}


def test_what_a_truncated_file_had_is_no_share_of_bad_rows(data: Path, encoder: Encoder) -> None:
    (data / "a.jsonl").write_bytes(GOOD)
    (data / "b.jsonl.gz").write_bytes(gzip.compress(MANY)[:-50])
    _, problems = data_of.check(data, encoder, maxInvalidFraction=0.9)

    assert problems.beyond_rows == 1


LABELS = [
    pytest.param(["yes", "no"], "Token", [], id="one-token-each"),
    pytest.param(["a long label", "no"], "Token", [("label_not_one_token", 1)], id="several-tokens"),
    pytest.param(["a long label", "no"], "Head", [], id="a-head-takes-any"),
]


@pytest.mark.parametrize(("labels", "style", "expected"), LABELS)
def test_labels_are_told_once_each(data: Path, labels: list[str], style: str, expected: Found, words: Encoder) -> None:
    (data / "a.jsonl").write_bytes(lines(*(js(text=f"t{i}", label=labels[i % 2]) for i in range(8))))
    _, problems = data_of.check(
        data, words, method="Classification", work={"classification": {"style": style}, "evaluation": {}}
    )

    assert [(e.code, e.line) for e in data_of.errors(problems)] == expected


@pytest.mark.parametrize(
    "given",
    [pytest.param({}, id="of-train"), pytest.param({"labels": ["yes", "no", "rare"]}, id="listed-in-the-manifest")],
)
def test_a_label_of_test_whose_only_row_of_train_is_dropped(data: Path, words: Encoder, given: dict[str, Any]) -> None:
    giant = js(text="t " * 900_000, label="rare")
    (data / "a.jsonl").write_bytes(LABELED + giant.encode())
    (data / "test.jsonl").write_bytes(lines(*(js(text=f"s{i}", label=["yes", "rare"][i % 2]) for i in range(4))))
    work = {"classification": {"style": "Head", **given}, "evaluation": {}}
    _, problems = data_of.check(data, words, test=True, method="Classification", work=work, maxInvalidFraction=0.5)

    assert [(e.code, e.line) for e in data_of.errors(problems)] == [("prompt_too_long", 9), ("unknown_label", 2)]
    assert problems.beyond_rows == 1


UNDIVIDED = [
    pytest.param(["a", "a", "a"], ["yes", "no", "yes"], "all 3 rows have the same text", id="one-text"),
    pytest.param(["a", "b", "c"], ["yes", "no", "else"], "label 'yes' has 1 row)", id="a-row-of-each-label"),
    pytest.param(["a", "b", "c"], ["yes", "yes", "yes"], "", id="one-label"),
    pytest.param(["a", "b", "c"], ["yes", "yes", "once"], "", id="a-label-once"),
]


@pytest.mark.parametrize(("texts", "labels", "says_"), UNDIVIDED)
def test_rows_that_no_fraction_can_divide(
    data: Path, words: Encoder, texts: list[str], labels: list[str], says_: str
) -> None:
    rows = zip(texts, labels, strict=True)
    (data / "a.jsonl").write_bytes(lines(*(js(text=text, label=label) for text, label in rows)))
    checked, problems = data_of.check(data, words, method="Classification", work=HEAD | METRIC)
    found = data_of.errors(problems)

    assert [e.code for e in found] == (["too_few_rows"] if says_ else [])
    assert says_ in (found[0].message if found else "")
    assert says_ or "once" not in checked.sides.labels[1]


def test_a_column_of_identifiers_is_none_of_labels(data: Path, words: Encoder) -> None:
    rows = lines(*(js(text=f"t{i}", label=f"id {i}") for i in range(20_000)))
    (data / "a.jsonl").write_bytes(rows)
    (data / "test.jsonl").write_bytes(rows)
    began = time.perf_counter()
    for test in (True, False):
        _, problems = data_of.check(data, words, test=test, method="Classification", work=HEAD | METRIC)
        assert [(e.code, e.field) for e in data_of.errors(problems)] == [("data_type", "label")]
    assert time.perf_counter() - began < 60


def test_labels_are_told_without_what_is_personal(data: Path, words: Encoder) -> None:
    labels = ["jo.doe@corp.com"] + ["other"] * 29
    (data / "a.jsonl").write_bytes(lines(*(js(text=f"t{i}", label=labels[i % 30]) for i in range(60))))
    checked, problems = data_of.check(data, words, method="Classification", work=HEAD | METRIC)
    told = checked.validation(problems, None).model_dump_json() + json.dumps(checked.quality.figures)

    assert "[e-mail address]" in checked.sides.labels_shown
    assert "Label other has" in told
    assert "corp.com" not in told


def test_labels_of_the_manifest_are_the_only_ones(data: Path, words: Encoder) -> None:
    (data / "a.jsonl").write_bytes(lines(*(js(text=f"t{i}", label=["yes", "no", "else"][i % 3]) for i in range(8))))
    given = {"classification": {"style": "Head", "labels": ["yes", "no"]}, "evaluation": {}}
    _, problems = data_of.check(data, words, method="Classification", work=given)

    assert [(e.code, e.line, e.field) for e in data_of.errors(problems)] == [
        ("unknown_label", 3, "label"),
        ("unknown_label", 6, "label"),
    ]


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """A tokenizer with `yes`, `no` and spaces as whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<eos>", "<unk>", "t", "Label", ":", "yes", "no", "a", "long", "label", *map(str, range(10))]
    inner = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)]
    )
    return Encoder(PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<eos>", unk_token="<unk>"), 64)


def test_only_desirable_answers_teach_nothing(data: Path, encoder: Encoder) -> None:
    (data / "a.jsonl").write_bytes(lines(*(rated(prompt=f"p{i}") for i in range(8))))
    _, problems = data_of.check(data, encoder, method="KTO", work=METRIC)

    assert [e.code for e in data_of.errors(problems)] == ["too_few_rows", "too_few_rows"]


@pytest.mark.slow
def test_a_million_rows(data: Path) -> None:
    row = b'{"prompt": "p", "completion": "c"}\n'
    (data / "a.jsonl").write_bytes(row * 999_999 + b"bad\n")
    began = time.perf_counter()
    checked, problems = data_of.check(data, None)

    assert [(e.code, e.line) for e in data_of.errors(problems)] == [("invalid_json", 1_000_000), ("too_few_rows", None)]
    assert sum(source.rows for source in checked.sources) == 1_000_000
    assert time.perf_counter() - began < 300

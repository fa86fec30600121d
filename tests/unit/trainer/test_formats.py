"""Every kind of file and every shape of a row comes to the same canonical rows."""

import csv
import gzip
import io
import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from pyarrow import parquet

import trainer_data as data_of
from attune_contract.enums import DataFormat, Method
from attune_operator.api import finetunejob_rules
from attune_trainer import digests
from attune_trainer.data import canonical, figures, objects, split
from attune_trainer.data.encoding.packing import pack
from attune_trainer.data.encoding.supervised import Encoder
from attune_trainer.data.examples import Document, Labeled, Pair, Rated, Supervised, Turn
from attune_trainer.data.files import text
from attune_trainer.data.formats import table
from attune_trainer.data.problems import ProblemLog
from attune_trainer.errors import AccessDeniedError, BlockedError
from attune_trainer.storage.base import ObjectInfo

ROWS = [{"prompt": f'p{i}\n, "q"\tü', "completion": f" c{i}"} for i in range(6)]
METRIC: dict[str, Any] = {"evaluation": {}}


def delimited(delimiter: str, end: str) -> bytes:
    made = io.StringIO()
    table = csv.DictWriter(made, ["prompt", "completion"], delimiter=delimiter, lineterminator=end)
    table.writeheader()
    table.writerows(ROWS)
    return made.getvalue().encode()


def in_parquet(rows: list[dict[str, Any]]) -> bytes:
    made = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), made)
    return made.getvalue()


KINDS = {
    "a.jsonl": "\n".join(map(json.dumps, ROWS)).encode(),
    "lines.json": "\n".join(map(json.dumps, ROWS)).encode(),
    "list.json": json.dumps(ROWS).encode(),
    "pretty.json": json.dumps(ROWS, indent=4).encode(),
    "objects.json": "\n".join(json.dumps(row, indent=1) for row in ROWS).encode(),
    "mark.json": b"\xef\xbb\xbf\r\n" + json.dumps(ROWS, ensure_ascii=False, indent=2).replace("\n", "\r\n").encode(),
    "a.csv": delimited(",", "\n"),
    "crlf.csv": b"\xef\xbb\xbf" + delimited(",", "\r\n") + b"\r\n\r\n",
    "a.tsv": delimited("\t", "\n"),
    "a.parquet": in_parquet(ROWS),
}
PACKED = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}


@pytest.mark.parametrize("packing", PACKED, ids=["plain", "gz", "zst"])
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file(data: Path, encoder: Encoder, name: str, packing: str) -> None:
    (data / f"train-{name}{packing}").write_bytes(PACKED[packing](KINDS[name]))
    (data / "test.jsonl").write_bytes(KINDS["a.jsonl"])
    checked, problems = data_of.check(data, encoder, test=True)
    found = list(canonical.read(checked.sides.train, canonical.SUPERVISED))

    assert data_of.errors(problems) == []
    assert [row.turns[0].content.replace("\r\n", "\n") for row in found] == [row["prompt"] for row in ROWS]
    assert [row.answer for row in found] == [row["completion"] for row in ROWS]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("lines.json", [1, 2, 3], id="lines"),
        pytest.param("list.json", [1, 1, 1], id="one-line"),
        pytest.param("pretty.json", [2, 6, 10], id="pretty-printed"),
        pytest.param("a.csv", [2, 4, 6], id="cells-of-two-lines"),
        pytest.param("a.parquet", [1, 2, 3], id="rows"),
    ],
)
def test_row_ids_lead_back_to_the_line(data: Path, encoder: Encoder, name: str, expected: list[int]) -> None:
    (data / f"train-{name}").write_bytes(KINDS[name])
    (data / "test.jsonl").write_bytes(KINDS["a.jsonl"])
    checked, _ = data_of.check(data, encoder, test=True)
    found = [row.row_id for row in canonical.read(checked.sides.train, canonical.SUPERVISED)][:3]

    assert found == [f"file://{data}/train-{name}#{line}" for line in expected]


def user(content: str) -> Turn:
    return Turn("user", content)


def answer(content: str, weight: int = 1, extra: str = "") -> Turn:
    return Turn("assistant", content, weight, extra)


def m(*contents: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)]


CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
CALLED = json.dumps({"tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}]})
PLAIN = (Turn("prompt", "p"),), (Turn("completion", "a", 1),), (Turn("completion", "b", 1),)
TALK = (user("p"),), (answer("a"),), (answer("b"),)

SHAPES = [
    pytest.param("SFT", {"messages": m("p", "a")}, Supervised("", (user("p"), answer("a"))), id="chat"),
    pytest.param(
        "SFT",
        {
            "messages": [*m("p", "a", "q"), {"role": "assistant", "content": "b", "weight": 0, "name": None}],
            "tools": [],
        },
        Supervised("", (user("p"), answer("a"), user("q"), answer("b", 0))),
        id="weights",
    ),
    pytest.param(
        "SFT",
        {
            "messages": [
                *m("p"),
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "content": "5", "tool_call_id": "1"},
                *m("", "a")[1:],
            ],
            "tools": [{"type": "function"}],
        },
        Supervised(
            "",
            (user("p"), answer("", 1, CALLED), Turn("tool", "5", 0, '{"tool_call_id": "1"}'), answer("a")),
            '[{"type": "function"}]',
        ),
        id="tools",
    ),
    pytest.param(
        "SFT",
        {
            "conversations": [
                {"from": "system", "value": "s"},
                {"from": "human", "value": "p"},
                {"from": "gpt", "value": "a"},
            ]
        },
        Supervised("", (Turn("system", "s"), user("p"), answer("a"))),
        id="sharegpt",
    ),
    pytest.param(
        "SFT",
        {"instruction": "i", "input": "", "output": "o"},
        Supervised("", (Turn("prompt", "### Instruction:\ni\n\n### Response:\n"), Turn("completion", "o", 1))),
        id="alpaca",
    ),
    pytest.param(
        "SFT",
        {"instruction": "i", "input": "n", "output": "o"},
        Supervised(
            "",
            (Turn("prompt", "### Instruction:\ni\n\n### Input:\nn\n\n### Response:\n"), Turn("completion", "o", 1)),
        ),
        id="alpaca-with-input",
    ),
    pytest.param("DPO", {"prompt": "p", "chosen": "a", "rejected": "b"}, Pair("", *PLAIN), id="pair-of-texts"),
    pytest.param(
        "ORPO",
        {"prompt": m("p"), "chosen": m("", "a")[1:], "rejected": m("", "b")[1:]},
        Pair("", *TALK),
        id="pair-of-messages",
    ),
    pytest.param(
        "DPO",
        {"prompt": "p", "chosen": m("", "a")[1:], "rejected": m("", "b")[1:]},
        Pair("", *TALK),
        id="text-and-messages",
    ),
    pytest.param(
        "DPO", {"prompt": "p", "chosen": m("p", "a"), "rejected": m("p", "b")}, Pair("", *TALK), id="prompt-twice"
    ),
    pytest.param("DPO", {"chosen": m("p", "a"), "rejected": m("p", "b")}, Pair("", *TALK), id="whole-conversations"),
    pytest.param(
        "DPO",
        {"chosen": m("p", "a", "q", "c"), "rejected": m("p", "a", "q", "d")},
        Pair("", (user("p"), answer("a", 0), user("q")), (answer("c"),), (answer("d"),)),
        id="longer-beginning",
    ),
    pytest.param(
        "DPO",
        {"chosen": "Human: p\n\nAssistant: abc", "rejected": "Human: p\n\nAssistant: abd"},
        Pair(
            "",
            (Turn("prompt", "Human: p\n\nAssistant:"),),
            (Turn("completion", " abc", 1),),
            (Turn("completion", " abd", 1),),
        ),
        id="whole-texts",
    ),
    pytest.param(
        "DPO",
        {
            "chosen": "Human: p\n\nAssistant: a\n\nHuman: q\n\nAssistant: Yes, b",
            "rejected": "Human: p\n\nAssistant: a\n\nHuman: q\n\nAssistant: Yes, c",
        },
        Pair(
            "",
            (Turn("prompt", "Human: p\n\nAssistant: a\n\nHuman: q\n\nAssistant:"),),
            (Turn("completion", " Yes, b", 1),),
            (Turn("completion", " Yes, c", 1),),
        ),
        id="whole-texts-of-several-turns",
    ),
    pytest.param(
        "DPO",
        {
            "input": {"messages": m("p"), "tools": [{"a": 1}], "parallel_tool_calls": True},
            "preferred_output": m("", "a")[1:],
            "non_preferred_output": m("", "b")[1:],
        },
        Pair("", *TALK, '[{"a": 1}]'),
        id="openai",
    ),
    pytest.param("KTO", {"prompt": "p", "completion": "a", "label": True}, Rated("", *PLAIN[:2], True), id="rated"),
    pytest.param("KTO", {"prompt": "p", "completion": "a", "label": 0}, Rated("", *PLAIN[:2], False), id="rated-zero"),
    pytest.param(
        "KTO",
        {"prompt": m("p"), "completion": m("", "a")[1:], "label": 1.0},
        Rated("", *TALK[:2], True),
        id="rated-messages",
    ),
    pytest.param("ContinuedPretraining", {"text": " a\n"}, Document("", " a\n"), id="document"),
    pytest.param("Classification", {"text": "t", "label": " yes "}, Labeled("", "t", "yes"), id="label"),
    pytest.param("Classification", {"text": "t", "label": 2.0}, Labeled("", "t", "2"), id="label-as-number"),
    pytest.param("Classification", {"text": "t", "label": False}, Labeled("", "t", "false"), id="label-as-boolean"),
]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize(("method", "row", "expected"), SHAPES)
def test_every_shape_of_a_row(data: Path, method: str, row: dict[str, Any], expected: Any, kind: str) -> None:
    content = json.dumps(row).encode() + b"\n" if kind == "jsonl" else in_parquet([row])
    for side in ("test", "train"):
        (data / f"{side}.{kind}").write_bytes(content)
    head = {"classification": {"style": "Head"}} if method == "Classification" else {}
    checked, problems = data_of.check(data, None, test=True, method=method, work=METRIC | head)
    found = next(iter(canonical.read(checked.sides.train, canonical.kind_of(Method(method)))))

    assert {e.code for e in data_of.errors(problems)} <= {"too_few_rows"}
    assert found.row_id == f"file://{data}/train.{kind}#1"
    assert found.content() == expected.content()
    assert checked.format.startswith(f"{checked.format.split(' ')[0]} ")


@pytest.mark.parametrize(
    ("cell", "spec", "expected"),
    [
        pytest.param("true", {}, True, id="true"),
        pytest.param("FALSE", {}, False, id="false-in-capitals"),
        pytest.param("1", {}, True, id="one"),
        pytest.param("4.5", {"rating": {"desirableFrom": 4}}, True, id="score-over"),
        pytest.param("3", {"rating": {"desirableFrom": 4}}, False, id="score-under"),
    ],
)
def test_ratings_in_a_csv(data: Path, cell: str, spec: dict[str, Any], expected: bool) -> None:
    for side in ("test", "train"):
        (data / f"{side}.csv").write_text(f"prompt,completion,label\np,c,{cell}\n")
    checked, problems = data_of.check(data, None, test=True, method="KTO", work=METRIC, **spec)

    assert {e.code for e in data_of.errors(problems)} == {"too_few_rows"}
    assert next(iter(canonical.read(checked.sides.train, canonical.RATED))).desirable is expected


def test_a_long_text_is_cut_at_blank_lines_and_is_whole_again(data: Path) -> None:
    document = "".join(f"{'word ' * (i % 400)}\n" + ("\n" if i % 3 == 0 else "") for i in range(300)) + "y" * 9000
    (data / "train.txt").write_text(document)
    (data / "train2.jsonl").write_text(json.dumps({"text": document}))
    (data / "test.jsonl").write_text(json.dumps({"text": "short"}))
    checked, problems = data_of.check(data, None, test=True, method="ContinuedPretraining", work=METRIC)
    found = list(canonical.read(checked.sides.train, canonical.DOCUMENT))

    assert data_of.errors(problems) == []
    for name in ("train.txt", "train2.jsonl"):
        parts = [row for row in found if f"/{name}#" in row.row_id]
        assert "".join(row.text for row in parts) == document
        assert [row.follows for row in parts] == ["", *(row.row_id for row in parts[:-1])]
        assert max(len(row.text) for row in parts) <= text.PART
        assert len({row.row_id for row in parts}) == len(parts)


def test_packing_is_counted_as_it_is_done() -> None:
    for seed in range(60):
        made = random.Random(seed)  # noqa: S311 - a table of cases
        lengths = [made.randint(1, made.choice((8, 40, 200))) for _ in range(made.randint(1, 300))]
        limit = made.choice((16, 37, 64, 128))

        assert figures.packed(Counter(lengths), limit) == len(pack(lengths, limit)), seed


def test_the_split_is_stratified_and_keeps_rare_labels_on_both_sides() -> None:
    labels = ["often"] * 800 + ["rare"] * 40 + ["once"]
    prompts = [int.from_bytes(digests.of_json(i).encode()[-8:], "big") for i in range(len(labels))]
    names = sorted(set(labels))
    strata = [names.index(label) for label in labels]
    chosen = split.held_out_by_fraction(prompts, 0.1, 17, strata, names)
    order = list(range(len(labels)))
    order.sort(key=lambda i: prompts[i])
    other = names[::-1]
    again = split.held_out_by_fraction(
        [prompts[i] for i in order], 0.1, 17, [other.index(labels[i]) for i in order], other
    )

    assert Counter(label for label, out in zip(labels, chosen, strict=True) if out) == {"often": 80, "rare": 4}
    assert [again[order.index(i)] for i in range(0, 841, 97)] == [chosen[i] for i in range(0, 841, 97)]


def test_a_split_by_many_strata_takes_no_longer() -> None:
    count = 20_000
    prompts = [int.from_bytes(digests.of_json(i).encode()[-8:], "big") for i in range(count)]
    began = time.perf_counter()
    chosen = split.held_out_by_fraction(
        prompts, 0.3, 17, [i // 2 for i in range(count)], [f"l{i}" for i in range(count)]
    )

    assert sum(chosen) == round(0.3 * count)
    assert not any(chosen[i] and chosen[i + 1] for i in range(0, count, 2))
    assert time.perf_counter() - began < 5


def test_a_prompt_that_only_the_first_rows_lack(data: Path) -> None:
    rows = [
        {"chosen": "The sky.", "rejected": "The sea."},
        *({"prompt": f"p{i}", "chosen": "a", "rejected": "b"} for i in range(4)),
    ]
    (data / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    checked, problems = data_of.check(data, None, method="DPO", work=METRIC)

    assert [(e.code, e.line, e.field) for e in data_of.errors(problems)] == [("missing_column", 1, "prompt")]
    assert "chosen, rejected" in data_of.errors(problems)[0].message
    assert checked.sides.train_rows + checked.sides.test_rows == 4


def test_every_field_of_a_format_may_be_named_in_the_manifest() -> None:
    fields = {
        name for method in Method for shape in table.shapes_of(method, DataFormat.AUTO) for name in shape.all_fields
    }

    assert fields == set(finetunejob_rules.COLUMNS)


def test_a_strict_warning_is_an_error(data: Path, encoder: Encoder) -> None:
    rows = [data_of.prompt_completion(i) for i in range(4)] * 2
    for side in ("test", "train"):
        (data / f"{side}.jsonl").write_text("\n".join(rows))
    checked, problems = data_of.check(data, encoder, test=True, strict=["leakage", "few_rows"])

    assert {w.code.value for w in checked.warnings} >= {"leakage", "few_rows", "duplicates"}
    assert {(e.code, e.line) for e in data_of.errors(problems)} == {("leakage", None), ("few_rows", None)}
    assert problems.beyond_rows == 2


class Guarded:
    """A store of two objects, of which one is not for us."""

    def head(self, uri: str) -> ObjectInfo:
        if uri.endswith("secret.jsonl"):
            raise AccessDeniedError(f"{uri}: the store refuses")
        return ObjectInfo(uri, 1, "x")


class Stores:
    """Opens the same store for every URI."""

    def open(self, *_: object) -> Guarded:
        return Guarded()


@pytest.mark.parametrize(
    ("uris", "codes", "blocked"),
    [
        pytest.param(("s3://one/a.jsonl", "s3://one/secret.jsonl"), ["access_denied"], 0, id="one-of-two"),
        pytest.param(("s3://one/secret.jsonl",), [], 1, id="all"),
        pytest.param(("s3://one/a.jsonl", "s3://two/secret.jsonl"), [], 1, id="all-of-a-bucket"),
    ],
)
def test_an_object_that_is_not_for_us(tmp_path: Path, uris: tuple[str, ...], codes: list[str], blocked: int) -> None:
    problems = ProblemLog(tmp_path / "problems")
    missing: list[BlockedError] = []
    objects.find(Stores(), uris, (), problems, missing)  # type: ignore[arg-type]

    assert [e.code for e in data_of.errors(problems)] == codes
    assert len(missing) == blocked

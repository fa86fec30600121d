"""What is fine in a file, how names are found, how rows are parted and counted."""

import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

import trainer_data as data_of
from attune_trainer.data import canonical, figures, objects, split
from attune_trainer.data.encoding.supervised import Encoder
from attune_trainer.data.examples import Supervised, Turn
from attune_trainer.data.files.lines import Lines
from attune_trainer.errors import InvalidConfigurationError

GOOD = data_of.prompt_completion()


def rows(count: int, **more: Any) -> str:
    return "".join(json.dumps({"prompt": f"p {i}", "completion": " yes", **more}) + "\n" for i in range(count))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param((GOOD + "\n") * 4, id="plain"),
        pytest.param("\ufeff" + (GOOD + "\n") * 4, id="byte-order-mark"),
        pytest.param((GOOD + "\r\n") * 4, id="crlf"),
        pytest.param("\n\n".join([GOOD] * 4), id="blank-lines"),
        pytest.param("\n".join([GOOD] * 4), id="no-line-break-at-the-end"),
        pytest.param("  \t\n" + (f"  {GOOD}  \n") * 4, id="white-space-around"),
        pytest.param((GOOD[:-1] + ', "note": {"a": [1, null]}}\n') * 4, id="more-columns"),
    ],
)
def test_what_is_fine(data: Path, encoder: Encoder, content: str) -> None:
    (data / "train.jsonl").write_text(content, encoding="utf-8", newline="")
    (data / "test.jsonl").write_text(GOOD, encoding="utf-8")
    checked, problems = data_of.check(data, encoder, test=True)

    assert data_of.errors(problems) == []
    assert (checked.sides.train_rows, checked.sides.test_rows) == (4, 1)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param(b"a\n\nb\n", [(1, "a"), (3, "b")], id="blank-lines-count"),
        pytest.param(b"a\r\n\r\nb", [(1, "a"), (3, "b")], id="crlf"),
        pytest.param(b"\xef\xbb\xbfa\nb", [(1, "a"), (2, "b")], id="mark"),
        pytest.param(b"x" * 30 + b"\nb\n", [(1, None), (2, "b")], id="too-long-is-passed-over"),
        pytest.param(b"a\n" + b"x" * 30, [(1, "a"), (2, None)], id="too-long-at-the-end"),
        pytest.param("a\u2028b\n".encode(), [(1, "a\u2028b")], id="line-separator-is-text"),
    ],
)
def test_lines_are_numbered_as_an_editor_numbers_them(text: bytes, lines: list[tuple[int, str | None]]) -> None:
    reader = Lines(io.BytesIO(text), longest=20)

    assert [(line.number, line.text) for line in reader] == lines


class Endless(io.RawIOBase):
    """64 MiB of lines of 1 KiB, made as they are read."""

    left = 64 << 20

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), self.left)
        buffer[:size] = ((b"x" * 1023 + b"\n") * (size // 1024 + 1))[:size]
        self.left -= size
        return size


def test_a_large_file_is_never_whole_in_memory() -> None:
    tracemalloc.start()
    count = sum(1 for _ in Lines(io.BufferedReader(Endless(), 1 << 16)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert count == 65_536
    assert peak < 4 << 20


@pytest.mark.parametrize(
    ("line", "spec", "format_"),
    [
        pytest.param(GOOD, {}, "PromptCompletion (found: ", id="auto-prompt-completion"),
        pytest.param(data_of.chat(), {}, "Chat (found: ", id="auto-chat"),
        pytest.param(GOOD, {"format": "PromptCompletion"}, "PromptCompletion (spec.dataset.format)", id="as-given"),
        pytest.param(
            '{"q": "a", "a": "b"}',
            {"columns": {"prompt": "q", "completion": "a"}},
            "PromptCompletion (found: ",
            id="columns",
        ),
        pytest.param(
            data_of.chat().replace("messages", "talk"),
            {"columns": {"messages": "talk"}},
            "Chat (found: ",
            id="messages-under-another-name",
        ),
    ],
)
def test_the_format_is_found(data: Path, encoder: Encoder, line: str, spec: dict[str, Any], format_: str) -> None:
    (data / "train.jsonl").write_text("not json\n" + (line + "\n") * 4, encoding="utf-8")
    (data / "test.jsonl").write_text(line, encoding="utf-8")
    checked, problems = data_of.check(data, encoder, test=True, **spec)

    assert checked.format.startswith(format_)
    assert [e.code for e in data_of.errors(problems)] == ["invalid_json"]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        pytest.param({"format": "Preference"}, "SFT takes", id="format-of-another-method"),
        pytest.param({"columns": {"label": "x"}}, "label is no field", id="unknown-field"),
        pytest.param({"columns": {"prompt": "x", "completion": "x"}}, "same column", id="one-column-twice"),
    ],
)
def test_a_dataset_block_that_cannot_work(data: Path, encoder: Encoder, spec: dict[str, Any], says: str) -> None:
    (data / "train.jsonl").write_text(GOOD, encoding="utf-8")
    with pytest.raises(InvalidConfigurationError, match=says):
        data_of.check(data, encoder, **spec)


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        pytest.param("s3://b/*.jsonl", ["s3://b/a.jsonl"], ["s3://b/x/a.jsonl", "s3://b/a.json"], id="star"),
        pytest.param("s3://b/**.jsonl", ["s3://b/a.jsonl", "s3://b/x/a.jsonl"], ["s3://c/a.jsonl"], id="double-star"),
        pytest.param("s3://b/part-?.jsonl", ["s3://b/part-1.jsonl"], ["s3://b/part-12.jsonl"], id="question-mark"),
        pytest.param("s3://b/[ab].jsonl", ["s3://b/a.jsonl"], ["s3://b/c.jsonl"], id="set"),
        pytest.param("s3://b/[!ab].jsonl", ["s3://b/c.jsonl"], ["s3://b/a.jsonl"], id="negated-set"),
        pytest.param(
            "s3://b/a+(1)*.jsonl", ["s3://b/a+(1)x.jsonl"], ["s3://b/aa1.jsonl"], id="nothing-else-is-special"
        ),
    ],
)
def test_globs(pattern: str, matching: list[str], others: list[str]) -> None:
    compiled = objects.glob_pattern(pattern)

    assert all(compiled.fullmatch(uri) for uri in matching)
    assert not any(compiled.fullmatch(uri) for uri in others)


def test_split_keeps_equal_prompts_on_one_side_whatever_the_order() -> None:
    prompts = [hash(("p", i % 40)) & (2**64 - 1) for i in range(200)]
    chosen = split.held_out_by_fraction(prompts, 0.25, 17)
    sides = {p: {chosen[i] for i, q in enumerate(prompts) if q == p} for p in prompts}
    backwards = split.held_out_by_fraction(prompts[::-1], 0.25, 17)

    assert all(len(side) == 1 for side in sides.values())
    assert sum(1 for side in sides.values() if side == {1}) == 10
    assert backwards[::-1] == chosen
    assert split.held_out_by_fraction(prompts, 0.25, 18) != chosen


@pytest.mark.parametrize(
    ("prompts", "fraction", "held_out"),
    [
        pytest.param([], 0.5, 0, id="nothing"),
        pytest.param([1], 0.5, 1, id="one-row-cannot-train"),
        pytest.param([1, 2], 0.01, 1, id="at-least-one-is-held-out"),
        pytest.param([1, 2, 3], 0.99, 2, id="at-least-one-trains"),
        pytest.param(list(range(1000)), 0.1, 100, id="exact-share"),
    ],
)
def test_split_shares(prompts: list[int], fraction: float, held_out: int) -> None:
    assert sum(split.held_out_by_fraction(prompts, fraction, 17)) == held_out


def test_figures_count_duplicates_leaks_and_truncated_rows(data: Path, encoder: Encoder) -> None:
    long = json.dumps({"prompt": "p", "completion": " word" * 100}) + "\n"
    (data / "train.jsonl").write_text(rows(5) + rows(2) + long, encoding="utf-8")
    (data / "test.jsonl").write_text(rows(1) + rows(3).splitlines()[2] + "\n" + GOOD, encoding="utf-8")
    checked, problems = data_of.check(data, encoder, test=True)
    found = checked.validation(problems, "file:///report")

    assert (found.rows, found.train_rows, found.test_rows) == (11, 8, 3)
    assert (found.duplicate_rows, found.leaked_rows, found.truncated_rows) == (2, 2, 1)
    assert found.tokens.max > 64


def test_tokens_are_counted_as_training_sees_them(data: Path, encoder: Encoder) -> None:
    (data / "train.jsonl").write_text(rows(30) + (GOOD + "\n"), encoding="utf-8")
    checked, problems = data_of.check(data, encoder)
    encoded = [
        len(encoder.encode(example).input_ids) for example in canonical.read(checked.sides.train, canonical.SUPERVISED)
    ]

    assert checked.validation(problems, "").tokens.total == sum(encoded)
    assert checked.validation(problems, "").tokens.max == max(encoded)


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        pytest.param([], (0, 0, 0, 0), id="none"),
        pytest.param([7], (7, 7, 7, 7), id="one"),
        pytest.param(list(range(1, 101)), (5050, 50, 95, 100), id="nearest-rank"),
    ],
)
def test_percentiles(lengths: list[int], expected: tuple[int, int, int, int]) -> None:
    found = figures.token_figures(lengths)

    assert (found.total, found.p50, found.p95, found.max) == expected


def test_canonical_rows_come_back_as_they_went_in(tmp_path: Path) -> None:
    turns = (Turn("user", "a\nb"), Turn("assistant", "ü 😀", 1))
    examples = [Supervised(f"file:///x#{i}", turns) for i in range(3000)]
    with canonical.Writer(tmp_path / "x.parquet", canonical.SUPERVISED) as writer:
        for example in examples:
            writer.write(example)

    assert list(canonical.read(tmp_path / "x.parquet", canonical.SUPERVISED)) == examples

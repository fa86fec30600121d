"""The report as JSON and as a page: everything in it, and nothing that must not be."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import trainer_factories as make
from attune_contract.enums import DataWarning, Stage
from attune_trainer.data import guide
from attune_trainer.data.html import charts
from attune_trainer.data.html.page import write_page
from attune_trainer.data.quality.shapes import shape

SECRET = "ghp_" + "a1" * 18
EMAIL = "jane.doe@acme-shop.co.uk"
ROOT = Path(__file__).parents[3]


@pytest.fixture
def laptop(tmp_path: Path, tokenizer: Any) -> Path:
    """A folder with a model (its weights are never read here) and room for data."""
    model = tmp_path / "model"
    tokenizer.save_pretrained(model)
    (model / "config.json").write_text(json.dumps({"model_type": "llama", "max_position_embeddings": 256}))
    (model / "model.safetensors").write_bytes(b"")
    return tmp_path


def examined(laptop: Path, rows: list[Any], **changes: Any) -> tuple[dict[str, Any], str, int]:
    """Runs preflight; returns the report as JSON, the page, and the exit code."""
    make.write_jsonl(laptop / "data" / "train.jsonl", rows)
    _, code = make.run_stage(make.document(laptop, **changes), Stage.PREFLIGHT)
    folder = make.run_folder(laptop) / "reports"
    return json.loads((folder / "validation.json").read_text()), (folder / "validation.html").read_text(), code


class Page(HTMLParser):
    """Collects what a page consists of, and complains about tags that do not match."""

    VOID = {"meta", "br", "rect", "line"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "action", "xlink:href"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_report_has_what_a_reader_counts_on(laptop: Path) -> None:
    report, _, code = examined(laptop, [*make.colour_rows(), make.colour_rows()[1]])

    assert code == 0
    assert report["rows"] == 33
    assert report["tokens"]["total"] > 0
    assert [w["code"] for w in report["warnings"]] == ["duplicates", "few_rows"]
    assert report["warnings"][0]["examples"] == [
        {
            "file": f"file://{laptop}/data/train.jsonl",
            "line": 33,
            "note": "the same as",
            "with": {"file": f"file://{laptop}/data/train.jsonl", "line": 2},
        }
    ]
    assert report["errors"] == []
    assert sum(bar["rows"] for bar in report["tokenLengths"]["histogram"]) == report["trainRows"]
    assert report["tokenLengths"]["percentiles"]["p100"] == report["tokens"]["max"]
    assert report["tokenLengths"]["percentiles"]["p50"] == report["tokens"]["p50"]
    assert report["quality"]["nearDuplicateSearch"]["rows"] == 33
    assert report["data"][0]["sha256"].startswith("sha256:")


def test_each_error_says_where_it_is(laptop: Path) -> None:
    report, page, code = examined(laptop, [*make.colour_rows(), {"prompt": "x"}, {"prompt": " ", "completion": "y"}])

    assert code == 10
    assert [(e["code"], e["line"], e["field"]) for e in report["errors"]] == [
        ("missing_column", 33, "completion"),
        ("empty_prompt", 34, "prompt"),
    ]
    assert set(report["errors"][0]) == {"code", "file", "line", "field", "message"}
    assert "Not usable as it is." in page
    assert "{&quot;prompt&quot;: &quot;x&quot;}" in page


def test_the_page_needs_nothing_and_runs_nothing(laptop: Path) -> None:
    _, text, _ = examined(laptop, [*make.colour_rows(), {"prompt": "<script>alert(1)</script><img src=x onerror=y>"}])
    page = Page(text)

    assert not {"script", "link", "img", "iframe", "object", "form"} & set(page.tags)
    assert page.links == []
    assert "url(" not in text
    assert "@import" not in text
    assert "http" not in re.sub(r'http-equiv="', "", text).replace("file://", "")
    assert "default-src 'none'" in text
    assert "&lt;script&gt;" in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_a_page_of_good_data_is_well_formed_and_has_the_histogram(laptop: Path) -> None:
    _, text, _ = examined(laptop, make.colour_rows())
    page = Page(text)

    assert page.tags.count("svg") == 1
    assert "Ready." in text
    assert "32 rows read" in text


def test_neither_report_nor_page_tells_secrets(laptop: Path) -> None:
    rows = [
        *make.colour_rows(),
        {"prompt": f"Mail {EMAIL}", "completion": f"token {SECRET}"},
        {"prompt": f"{EMAIL} and {SECRET}"},
        {"prompt": {"deep": [EMAIL]}, "completion": SECRET},
        {"messages": [{"role": EMAIL, "content": SECRET}]},
        {EMAIL: 1, "x": SECRET},
    ]
    for method in ({}, {"dataset": {"format": "Chat"}}):
        report, page, _ = examined(laptop, rows, **method)
        for text in (json.dumps(report, ensure_ascii=False), page):
            assert SECRET not in text
            assert EMAIL not in text
        assert "[e-mail address]" in page


def test_the_page_lists_the_first_two_hundred_errors(laptop: Path) -> None:
    report, page, _ = examined(laptop, [*make.colour_rows(), *[{"prompt": f"p{i}"} for i in range(300)]])

    assert len(report["errors"]) == 300
    assert page.count("p199&quot;") == 1
    assert "p200&quot;" not in page
    assert "The first 200 of 300" in page


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param({"a": 1, "b": None, "c": True, "d": 1.5}, '{"a": 1, "b": null, "c": true, "d": 1.5}', id="plain"),
        pytest.param({"a": "x" * 100}, '{"a": "' + "x" * 40 + '…"}', id="long-text"),
        pytest.param([1, 2, 3, 4, 5], "[1, 2, 3, 4, …]", id="long-list"),
        pytest.param({"a": {"b": {"c": {"d": {}}}}}, '{"a": {"b": {"c": {"d": …}}}}', id="deep"),
        pytest.param({"a": 4111111111111111}, '{"a": [card number]}', id="card-as-a-number"),
        pytest.param({"a": f"see {EMAIL}"}, '{"a": "see [e-mail address]"}', id="masked"),
        pytest.param(
            {"a": "x" * 30 + " " + SECRET}, '{"a": "' + "x" * 30 + ' [GitHub t…"}', id="masked-before-it-is-cut"
        ),
        pytest.param("text", '"text"', id="no-row"),
        pytest.param(float("nan"), "nan", id="nan"),
    ],
)
def test_the_shape_of_a_row(row: Any, expected: str) -> None:
    assert shape(row) == expected


def test_label_bars_hold_every_row_and_escape_labels() -> None:
    counts = {f"<label {i}>": 100 - i for i in range(40)}
    drawing = charts.label_bars(counts)

    assert "&lt;label 0&gt;" in drawing
    assert "10 other labels" in drawing
    Page(drawing)


@pytest.mark.parametrize(
    ("cut", "marked"), [pytest.param(16, True, id="inside"), pytest.param(4096, False, id="beyond")]
)
def test_the_histogram_marks_the_cut(cut: int, marked: bool) -> None:
    bars = [{"from": i * 4, "to": i * 4 + 3, "rows": i} for i in range(8)]

    assert ("cut at" in charts.histogram(bars, cut)) is marked
    Page(charts.histogram(bars, cut))


def test_a_page_of_nothing(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", {"warnings": []}, [], usable=False, verdict="there is nothing")

    text = (tmp_path / "page.html").read_text()
    Page(text)
    assert "No tokens were counted" in text
    assert "there is nothing" in text


def test_every_warning_is_explained() -> None:
    assert set(guide.WARNINGS) == set(DataWarning)


def test_every_code_that_the_checks_give_is_explained() -> None:
    given: set[str] = set()
    for path in (ROOT / "trainer-image" / "attune_trainer").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        given |= set(re.findall(r'(?:Finding\(\s*|code=)"([a-z_]+)"', text))

    assert given
    assert given - set(guide.ERRORS) == set()


def test_the_manual_has_the_same_words() -> None:
    manual = (ROOT / "docs" / "preflight.md").read_text(encoding="utf-8")

    assert guide.tables() in manual, "run python -m attune_trainer.data.guide and put what it prints into the manual"

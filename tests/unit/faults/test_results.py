"""The table of results: what it tells, and where it is put."""

from pathlib import Path
from typing import Any

from peril.faults import Kind
from peril.results import Section, row
from peril.world import Strike, Verdict, pattern


def verdict(**fields: Any) -> Verdict:
    whole: dict[str, Any] = {
        "namespace": "x",
        "states": {"run-1": "Succeeded"},
        "attempts": [{}] * 4,
        "problems": [],
        "struck": [Strike(Kind.ERROR, "PUT jobs", 0.5)],
        "messages": ["Train: Job run-1-0a1b2c3d-train-1 is running."],
        "restarts": 0,
        "hung": 0,
        "writes": 20,
    }
    return Verdict(**{**whole, **fields})


USUAL = {pattern("Train: Job run-7-ffffffff-train-1 is running.")}


def test_a_row_tells_what_is_unusual_and_nothing_else() -> None:
    told = row("500", 2, [verdict(), verdict(messages=["Job cannot be created: no."], attempts=[{}] * 5)], USUAL)
    assert (told.end, told.extra, told.wait) == ("2 Succeeded", 1, "0.5 s, at most 0.5 s")
    assert told.says == "“Job cannot be created: no.”"
    assert row("500", 1, [verdict()], USUAL).says == "nothing: the run goes on"


def test_a_run_that_did_not_succeed_is_a_broken_promise_that_names_the_faults() -> None:
    assert verdict().broken == []
    assert verdict(states={"run-1": "Failed: x"}).broken == ["run-1: Failed: x (in x, after 500 Internal Error)"]


def test_the_section_replaces_itself_and_leaves_the_rest_of_the_page_alone(tmp_path: Path) -> None:
    page = tmp_path / "reliability.md"
    section = Section("a part", "A part", "Text.")
    section.write(page)
    page.write_text(page.read_text() + "\nWritten by hand.\n")
    section.rows.append(row("a | b", 1, [verdict()], USUAL))
    section.write(page)
    text = page.read_text()
    assert text.count("## A part") == 1
    assert text.endswith("Written by hand.\n")
    assert "| a \\| b | 1 | 1 | 1 Succeeded |" in text

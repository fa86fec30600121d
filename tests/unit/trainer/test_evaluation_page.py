"""The evaluation page: what it says, what it leaves out, and that text stays text."""

import datetime as dt
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from attune_contract.enums import Method, MetricName, Verdict
from attune_trainer.evaluation.page import charts, facts, geometry, render, wording
from attune_trainer.evaluation.page.document import (
    About,
    Answer,
    Check,
    Comparison,
    Confusion,
    Curve,
    EvaluationDocument,
    Fact,
    Forgetting,
    Shown,
)
from attune_trainer.evaluation.page.geometry import Scale

SENTENCE = "Accuracy 0.91 is 0.49 over base (95 % interval 0.38 to 0.59, bar 0.05)."
MARKUP = "<script>alert(1)</script>\"'&"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;"


def comparison(**changed: Any) -> Comparison:
    valid = {
        "metric": MetricName.ACCURACY,
        "baseline": "base",
        "tuned": 0.91,
        "value": 0.42,
        "delta": 0.49,
        "low": 0.38,
        "high": 0.59,
        "p_value": 0.00001,
        "rows": 1096,
    }
    return Comparison.model_validate(valid | changed)


def document(**changed: Any) -> EvaluationDocument:
    valid = {
        "run_name": "support-router",
        "namespace": "team-a",
        "run_id": "3f1c",
        "method": Method.SFT,
        "model": "s3://models/qwen",
        "created": dt.datetime(2026, 11, 21, 12, 0, tzinfo=dt.UTC),
        "verdict": Verdict.PASSED,
        "sentence": SENTENCE,
        "comparisons": (comparison(),),
        "about": (About(metric=MetricName.ACCURACY, definition="Share of right rows."),),
    }
    return EvaluationDocument.model_validate(valid | changed)


def full(text: str) -> EvaluationDocument:
    """A text in every place that takes one."""
    shown = Shown(row_id=text, prompt=text, expected=text, base=Answer(text=text), tuned=Answer(text=text, right=True))
    return document(
        run_name=text,
        namespace=text,
        run_id=text,
        model=text,
        sentence=text,
        notices=(text,),
        checks=(Check(verdict=Verdict.FAILED, sentence=text),),
        comparisons=(comparison(baseline=text, slice=text),),
        about=(
            About(metric=MetricName.ACCURACY, definition=text, normalization=text, computed_by=text, certainty=text),
        ),
        curves=(Curve(name=text, points=((1, 2.0), (2, 1.0))),),
        confusion=(Confusion(model=text, labels=(text, "b"), counts=((1, 0), (1, 2))),),
        judged_by=MetricName.ACCURACY,
        regressions=(shown,),
        gains=(shown,),
        regressions_total=1,
        gains_total=7,
        forgetting=(
            Forgetting(
                dataset=text, rows=3, base_perplexity=2, tuned_perplexity=3, max_increase=0.1, verdict=Verdict.FAILED
            ),
        ),
        data=(Fact(name=text, value=text),),
        data_warnings=(text,),
        cost=(Fact(name=text, value=text),),
        lineage=(Fact(name=text, value=text),),
        settings=(Fact(name=text, value=text),),
    )


def test_the_verdict_comes_before_every_section() -> None:
    page = render.render(document(checks=(Check(verdict=Verdict.PASSED, sentence="One."),), notices=("Leaked rows.",)))

    assert page.index("Leaked rows.") < page.index(SENTENCE) < page.index("One.") < page.index("<h2>")
    assert "<title>Passed: evaluation of team-a/support-router</title>" in page


@pytest.mark.parametrize(
    ("verdict", "style"),
    [(Verdict.PASSED, "good"), (Verdict.FAILED, "bad"), (Verdict.INCONCLUSIVE, "unsure")],
    ids=str,
)
def test_the_verdict_is_a_word_and_not_only_a_colour(verdict: Verdict, style: str) -> None:
    page = render.render(document(verdict=verdict))

    assert re.search(rf'<div class="verdict {style}"><strong>. {verdict.value}</strong><p>{re.escape(SENTENCE)}', page)


SECTIONS = ["Metrics", "Loss", "Confusion", "Where they differ", "Forgetting", "Data", "Cost", "Lineage", "Settings"]


def test_every_section_is_there_in_order() -> None:
    assert re.findall(r"<h2>(.*?)</h2>", render.render(full("x"))) == [*SECTIONS, "How it was measured"]


def test_what_is_not_there_gets_no_section() -> None:
    assert re.findall(r"<h2>(.*?)</h2>", render.render(document())) == ["Metrics", "How it was measured"]


def test_all_text_is_escaped() -> None:
    page = render.render(full(MARKUP))

    assert MARKUP not in page
    assert "<script" not in page
    assert page.count(ESCAPED) >= 25


def test_nothing_runs_and_nothing_is_fetched() -> None:
    page = render.render(full("https://example.com/a.js"))

    assert "default-src 'none'" in page
    assert not re.search(
        r"<(script|link|img|iframe|object|embed|base|form)\b|\bon\w+=|\b(src|href)=|url\(|@import", page
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("a\x00b\x1bc", "a\ufffdb\ufffdc", id="control-characters"),
        pytest.param("\ud800 half a pair", "\ufffd half a pair", id="lone-surrogate"),
        pytest.param("two\nlines\tand a tab", "two\nlines\tand a tab", id="line-ends-and-tabs-stay"),
        pytest.param("مرحبا 你好 🙂", "مرحبا 你好 🙂", id="every-script"),
    ],
)
def test_any_text_can_be_written(tmp_path: Path, text: str, shown: str) -> None:
    shown_row = Shown(row_id="r", prompt=text, expected=text, base=Answer(text=text), tuned=Answer(text=text))
    render.write(document(judged_by="Accuracy", regressions=(shown_row,)), tmp_path / "evaluation.html")

    page = (tmp_path / "evaluation.html").read_text(encoding="utf-8")

    assert f'<pre dir="auto">{shown}</pre>' in page
    assert f'expected</dt><dd dir="auto">{shown}</dd>' in page


def test_secrets_in_rows_are_masked() -> None:
    row = Shown(
        row_id="r", prompt="Write to ann@corp-mail.com", expected="x", base=Answer(text="x"), tuned=Answer(text="y")
    )

    page = render.render(document(judged_by="Accuracy", gains=(row,), gains_total=1))

    assert "ann@" not in page
    assert "[e-mail address]" in page


def test_an_empty_answer_is_said_to_be_empty() -> None:
    row = Shown(
        row_id="r", prompt="p", expected="x", base=Answer(text=""), tuned=Answer(text="x", right=True, score=0.5)
    )

    page = render.render(document(judged_by="Accuracy", gains=(row,), gains_total=9))

    assert "(empty)" in page
    assert "Base wrong, tuned right: 9 rows, 1 shown" in page
    assert "None: no row got worse." in page


def test_the_same_document_gives_the_same_page() -> None:
    assert render.render(full("x")) == render.render(
        EvaluationDocument.model_validate_json(full("x").model_dump_json())
    )


@pytest.mark.parametrize(
    ("changed", "lower_is_better", "style", "words"),
    [
        pytest.param({}, False, "good", "better", id="above-zero"),
        pytest.param({}, True, "bad", "worse", id="above-zero-where-lower-is-better"),
        pytest.param({"low": -0.2, "high": -0.1}, False, "bad", "worse", id="below-zero"),
        pytest.param({"low": -0.2, "high": -0.1}, True, "good", "better", id="below-zero-where-lower-is-better"),
        pytest.param({"low": -0.1}, False, "unsure", "no clear difference", id="straddles-zero"),
        pytest.param({"p_value": 0.06}, False, "unsure", "no clear difference", id="p-is-too-large"),
        pytest.param({"p_value": None}, False, "good", "better", id="no-p"),
        pytest.param({"low": None}, False, "unsure", "no interval", id="no-interval"),
    ],
)
def test_a_difference_is_called_clear_only_where_it_is(
    changed: dict[str, Any], lower_is_better: bool, style: str, words: str
) -> None:
    c = comparison(**changed)

    at = charts.interval(c, charts.scale_of([c]), lower_is_better=lower_is_better, alpha=0.05)

    assert (at.style, at.words) == (style, words)


def test_intervals_of_a_metric_share_a_scale_with_zero_and_bar_on_it() -> None:
    both = [comparison(bar=0.05), comparison(baseline="prompted", low=0.7, delta=0.8, high=0.9)]
    scale = charts.scale_of(both)

    first, second = (charts.interval(c, scale, lower_is_better=False, alpha=0.05) for c in both)

    assert first.zero == second.zero
    assert first.bar is not None
    assert first.low is not None
    assert second.high is not None
    assert 0 < first.zero < first.bar < first.low < first.delta < second.delta < second.high < 100


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        pytest.param(Scale(0, 10), [0, 2, 4, 6, 8, 10], id="zero-to-ten"),
        pytest.param(Scale(-0.1, 5.2), [0, 2, 4], id="twos"),
        pytest.param(Scale(0.31, 0.52), [0.35, 0.4, 0.45, 0.5], id="small"),
        pytest.param(Scale(900, 12_300), [2500, 5000, 7500, 10_000], id="large"),
        pytest.param(Scale(-3e-7, 2e-7), [-3e-7, -2e-7, -1e-7, 0, 1e-7, 2e-7], id="tiny"),
    ],
)
def test_ticks_are_round(scale: Scale, expected: list[float]) -> None:
    assert geometry.ticks(scale) == pytest.approx(expected)


def test_a_scale_of_one_number_has_room() -> None:
    assert Scale.of([0.0]) == Scale(-1, 1)
    assert Scale.of([2.0]).percent(2.0) == 50


def test_a_long_curve_keeps_its_ends_and_its_peaks() -> None:
    points = [(float(step), 1.0) for step in range(20_000)]
    points[7_777] = (7_777.0, 9.0)
    points[12_345] = (12_345.0, 0.1)

    kept = geometry.thinned(points)

    assert len(kept) <= geometry.MOST_POINTS
    assert {points[0], points[7_777], points[12_345], points[-1]} <= set(kept)
    assert kept == sorted(kept)


@pytest.mark.parametrize("count", [1, 2, 599, 600, 601, 1199, 5000])
def test_a_curve_of_any_length_is_thinned_to_the_limit(count: int) -> None:
    kept = geometry.thinned([(float(n), float(n % 7)) for n in range(count)])

    assert min(count, 300) <= len(kept) <= geometry.MOST_POINTS


@pytest.mark.parametrize(
    ("curves", "best_step", "lines"),
    [
        pytest.param((), None, 0, id="none"),
        pytest.param((Curve(name="train", points=()),), 7, 0, id="no-points"),
        pytest.param((Curve(name="train", points=((5, 1.0),)),), None, 1, id="one-point"),
        pytest.param(
            (Curve(name="a", points=((1, 1.0), (9, 1.0))), Curve(name="b", points=((4, 2.0),))), 9, 2, id="two"
        ),
    ],
)
def test_loss_curves(curves: tuple[Curve, ...], best_step: int | None, lines: int) -> None:
    chart = charts.losses(curves, best_step)

    assert (len(chart.lines) if chart else 0) == lines
    for line in chart.lines if chart else ():
        assert re.fullmatch(r"M[\d.]+ [\d.]+( h0|( L[\d.]+ [\d.]+)+)", line.path)
        assert line.dots


def test_a_confusion_matrix_counts_right_answers_and_those_that_are_no_label() -> None:
    found = charts.matrix(Confusion(model="tuned", labels=("a", "b"), counts=((3, 1, 0), (0, 2, 2))))

    assert (found.right, found.total, found.columns) == (5, 8, ("a", "b", charts.NO_LABEL))
    assert [(label, [(c.count, c.share, c.style) for c in cells]) for label, cells, _ in found.rows] == [
        ("a", [(3, 0.75, "right"), (1, 0.25, "wrong"), (0, 0.0, "wrong")]),
        ("b", [(0, 0.0, "wrong"), (2, 0.5, "right"), (2, 0.5, "wrong")]),
    ]


def test_a_column_without_any_answer_outside_the_labels_is_left_out() -> None:
    assert charts.matrix(Confusion(model="tuned", labels=("a",), counts=((3, 0),))).columns == ("a",)


def test_many_labels_become_a_table_of_the_most_frequent_mistakes() -> None:
    labels = tuple(f"l{n}" for n in range(30))
    counts = [[0] * 30 for _ in labels]
    counts[3][4], counts[5][5], counts[7][1] = 2, 100, 9

    found = charts.matrix(Confusion(model="m", labels=labels, counts=tuple(map(tuple, counts))))

    assert found.rows == ()
    assert found.mistakes == (("l7", "l1", 9), ("l3", "l4", 2))


@pytest.mark.parametrize("counts", [((1,),), ((1, 2), (3,)), ((1, 2, 3, 4), (1, 2, 3, 4)), ()], ids=str)
def test_counts_that_do_not_fit_the_labels_are_refused(counts: Any) -> None:
    with pytest.raises(ValidationError, match="2 labels need 2 rows of 2 or 3 counts"):
        Confusion(model="m", labels=("a", "b"), counts=counts)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, wording.NOTHING),
        (0.0, "0"),
        (0.645833, "0.6458"),
        (-321.941, f"{wording.MINUS}321.9"),
        (1234.5, "1234"),
        (1234567.0, "1,234,567"),
        (0.000012, f"1.2e{wording.MINUS}05"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert wording.number(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.5, "+0.5"), (-0.5, f"{wording.MINUS}0.5"), (0.0, "0")])
def test_signed_numbers(value: float, text: str) -> None:
    assert wording.signed(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, wording.NOTHING), (1e-12, "< 0.0001"), (0.0123, "0.012"), (1.0, "1")]
)
def test_probabilities(value: float | None, text: str) -> None:
    assert wording.probability(value) == text


def test_a_long_prompt_keeps_both_ends() -> None:
    short = wording.shortened("The beginning. " + "filler " * 500 + "The question?", 60)

    assert len(short) <= 60
    assert short.startswith("The beginning.")
    assert short.endswith("The question?")
    assert " […] " in short


def test_facts_of_a_validation_report() -> None:
    report = {
        "format": "Chat",
        "rows": 1957,
        "trainRows": 1861,
        "leakedRows": 0,
        "tokens": {"total": 42916, "p50": 45, "p95": 124, "max": 205},
        "labels": {"a": 1000, "b": 1},
        "warnings": [{"code": "few_rows", "count": 12, "message": "Add rows."}],
    }

    assert [(f.name, f.value) for f in facts.of_validation(report)] == [
        ("Format", "Chat"),
        ("Rows read", "1,957"),
        ("Rows trained on", "1,861"),
        ("Held-out rows that are in train", "0"),
        ("Tokens of a row", "in all 42,916, median 45, 95 % 124, longest 205"),
        ("Rows by label", "a 1,000, b 1"),
    ]
    assert facts.warnings_of(report) == ("few_rows (12): Add rows.",)


def test_a_nested_document_becomes_facts_by_path() -> None:
    manifest = {
        "version": "v1",
        "run": {"id": "3f1c", "parent": None},
        "data": [{"uri": "s3://a", "rows": 1861}],
        "modules": ["q", "v"],
        "none": [],
        "tied": False,
    }

    assert [(f.name, f.value) for f in facts.flat(manifest, leave_out=("version",))] == [
        ("run.id", "3f1c"),
        ("data[0].uri", "s3://a"),
        ("data[0].rows", "1,861"),
        ("modules", "q, v"),
        ("tied", "no"),
    ]

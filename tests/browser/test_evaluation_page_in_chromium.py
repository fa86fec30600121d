"""evaluation.html in a real browser: on wide and narrow screens, in light and dark, and on paper."""

import re
import struct
from pathlib import Path
from typing import Any

import pytest

from attune_contract.enums import Verdict
from attune_trainer.evaluation.page import render
from attune_trainer.evaluation.page.document import Answer, Check, Confusion, EvaluationDocument, Fact, Shown

LONG = "Donaudampfschifffahrtsgesellschaft" * 12
HOSTILE = "<img src=x onerror=\"document.title='taken'\"></title><script>document.title='taken'</script>"
A4 = (595, 842)
PRINTABLE_PIXELS = 695  # 184 mm
IMAGE = Path(__file__).resolve().parents[2] / "docs" / "images" / "evaluation.png"


def bare(example: EvaluationDocument) -> EvaluationDocument:
    """As little as an evaluation can have."""
    one = example.comparisons[0].model_copy(update={"low": None, "high": None, "p_value": None, "bar": None})
    kept = {"verdict", "sentence", "run_name", "namespace", "run_id", "method", "model", "created"}
    least = {**example.model_dump(include=kept), "comparisons": (one,), "about": example.about[:1]}
    return EvaluationDocument.model_validate(least)


def crowded(example: EvaluationDocument) -> EvaluationDocument:
    """Words without end, hundreds of labels, and text that would like to be markup, in every place."""
    labels = tuple(f"{LONG[:60]}-{n}" for n in range(12))
    counts = tuple(tuple(1234 for _ in range(13)) for _ in range(12))
    many = tuple(f"label-{n}" for n in range(200))
    answer = Answer(text=LONG + HOSTILE, right=False, score=-12345.678)
    shown = Shown(row_id=LONG, prompt=HOSTILE + LONG, expected=LONG, base=answer, tuned=answer)
    return example.model_copy(
        update={
            "run_name": LONG + HOSTILE,
            "sentence": LONG + HOSTILE,
            "verdict": Verdict.INCONCLUSIVE,
            "notices": (LONG, HOSTILE),
            "checks": (Check(verdict=Verdict.FAILED, sentence=LONG + HOSTILE),),
            "comparisons": tuple(
                c.model_copy(update={"slice": LONG, "value": -1234567.0, "delta": -0.000012345})
                for c in example.comparisons
            ),
            "confusion": (
                Confusion(model="base", labels=labels, counts=counts),
                Confusion(model="tuned", labels=many, counts=tuple(tuple(range(200)) for _ in many)),
            ),
            "regressions": (shown,) * 3,
            "gains": (shown,),
            "data": (Fact(name=LONG, value=HOSTILE), Fact(name=HOSTILE, value=LONG)),
            "data_warnings": (LONG,),
            "lineage": (Fact(name=LONG, value=LONG),),
        }
    )


PAGES = [pytest.param(lambda e: e, id="example"), pytest.param(bare, id="bare"), pytest.param(crowded, id="crowded")]


@pytest.mark.parametrize("width", [1280, 390, 320])
@pytest.mark.parametrize("made", PAGES)
def test_nothing_is_wider_than_the_screen(browser: Any, example: EvaluationDocument, made: Any, width: int) -> None:
    found = browser.measured(render.render(made(example)), width)

    assert (found["width"], found["beyond"]) == (width, [])
    assert found["height"] > 400
    assert found["stacked"] == ("table-cell" if width > 720 else "block")


def test_text_stays_text(browser: Any, example: EvaluationDocument) -> None:
    """Whatever a model says: it is shown, and does nothing."""
    found = browser.measured(render.render(crowded(example)), 1280)

    assert found["title"].startswith("Inconclusive: evaluation of support/Donau")
    assert found["title"].endswith(HOSTILE)


def test_light_and_dark(browser: Any, example: EvaluationDocument) -> None:
    page = render.render(example)

    light, dark = browser.measured(page, 1280), browser.measured(page, 1280, "--force-dark-mode")

    assert _brightness(light["background"]) - _brightness(light["color"]) > 180
    assert _brightness(dark["color"]) - _brightness(dark["background"]) > 180


@pytest.mark.parametrize(
    ("made", "most"),
    [
        pytest.param(lambda e: e, 9, id="example"),
        pytest.param(bare, 1, id="bare"),
        pytest.param(crowded, 20, id="crowded"),
    ],
)
def test_on_paper(browser: Any, example: EvaluationDocument, made: Any, most: int, tmp_path: Path) -> None:
    """A4, all of it, and nothing beyond the right edge."""
    page = tmp_path / "evaluation.html"
    render.write(made(example), page)

    pdf = browser.pdf(page, tmp_path / "evaluation.pdf")

    sizes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf)
    assert {(round(float(w)), round(float(h))) for w, h in sizes} == {A4}
    assert 1 <= len(sizes) <= most
    found = browser.measured(_as_on_paper(render.render(made(example))), PRINTABLE_PIXELS)
    assert (found["width"], found["beyond"]) == (PRINTABLE_PIXELS, [])


def test_a_picture_shows_something(browser: Any, example: EvaluationDocument, tmp_path: Path) -> None:
    page, picture = tmp_path / "evaluation.html", tmp_path / "evaluation.png"
    render.write(example, page)

    browser.picture(page, picture, 1280, 1600)

    assert _size(picture) == (1280, 1600)
    assert picture.stat().st_size > 50_000  # an empty page has 10,000


def test_the_picture_in_the_docs_is_small() -> None:
    assert _size(IMAGE)[0] >= 1280
    assert IMAGE.stat().st_size < 300_000


def _as_on_paper(page: str) -> str:
    """The rules for paper, on a screen."""
    return page.replace("@media screen", "@media not all").replace("@media print", "@media all")


def _brightness(color: str) -> float:
    red, green, blue = (int(n) for n in re.findall(r"\d+", color)[:3])
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _size(png: Path) -> tuple[int, int]:
    width, height = struct.unpack(">II", png.read_bytes()[16:24])
    return width, height

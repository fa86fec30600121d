"""What one look asks, and what it names: by the champion's method, its training rows, and who said what."""

from collections import Counter
from typing import Any

import pytest

from attune_contract.enums import Method
from attune_contract.monitoring import Look, Monitoring
from attune_trainer.data.examples import Labeled, Supervised, Turn
from attune_trainer.monitoring import inputs, labels, look
from attune_trainer.monitoring.dropped import Told
from attune_trainer.monitoring.fresh import Fresh
from attune_trainer.monitoring.look import Reference

ASKED = Look.model_validate(
    {
        "at": "2026-11-22T03:00:00Z",
        "source": "s3://data/fresh/",
        "variants": [
            {"variant": "champion", "version": "v1", "runURI": "s3://models/run", "digest": f"sha256:{0:064x}"}
        ],
    }
)
SECRET = "My card is 4111 1111 1111 1111, password hunter2"


def row(method: Method, answer: str) -> Any:
    if method is Method.CLASSIFICATION:
        return Labeled("x#1", "a text", answer)
    return Supervised("x#1", (Turn("prompt", "a text"), Turn("completion", answer, 1)))


def fresh(rows: list[Any]) -> Fresh:
    return Fresh(tuple(rows), (Told(answered=True),) * len(rows), len(rows), len(rows), Counter(), {}, 0, (), 1)


def looked(method: Method, before: dict[str, int], now: dict[str, int], prompts: int = 100) -> Monitoring:
    rows = [row(method, answer) for answer, count in now.items() for _ in range(count)]
    return look.conclude(ASKED, method, fresh(rows), Reference(["a text"] * prompts, before, None), {})


@pytest.mark.parametrize(
    ("method", "kinds", "asked"),
    [
        (Method.CLASSIFICATION, 50, True),
        (Method.CLASSIFICATION, 51, True),
        (Method.CLASSIFICATION, 300, True),
        (Method.SFT, 50, True),
        (Method.SFT, 51, False),
    ],
)
def test_classes_are_labels_however_many_and_supervised_answers_where_they_are_few(
    method: Method, kinds: int, *, asked: bool
) -> None:
    names = [f"label-{i}" for i in range(kinds)]
    found = looked(method, dict.fromkeys(names, 10), {names[0]: 60, names[1]: 20})
    assert (found.labels is not None) is asked
    assert found.drifted is asked


@pytest.mark.parametrize(("prompts", "compared"), [(0, False), (inputs.LEAST - 1, False), (inputs.LEAST, True)])
def test_prompts_are_compared_with_enough_training_rows_and_fewer_are_no_error(prompts: int, *, compared: bool) -> None:
    found = looked(Method.SFT, {"a": 50, "b": 50}, {"a": 50, "b": 50}, prompts)
    assert (found.inputs is not None) is compared
    assert ("prompts are not compared" in found.sentence) is not compared
    assert not found.drifted


@pytest.mark.parametrize(
    ("now", "named"),
    [
        pytest.param({"billing": 50, "shipping": 49, SECRET: 1}, set(), id="nothing has drifted"),
        pytest.param({"billing": 95, "shipping": 4, SECRET: 1}, {"billing", "shipping"}, id="one person's answer"),
        pytest.param({"billing": 50, "shipping": 1, SECRET: 4}, {"billing", "shipping"}, id="four people's"),
        pytest.param({"billing": 50, "shipping": 1, "returns": 40}, {"billing", "shipping", "returns"}, id="a new one"),
    ],
)
def test_labels_are_named_where_they_have_drifted_and_five_rows_have_them(now: dict[str, int], named: set[str]) -> None:
    found = labels.compare({"billing": 100, "shipping": 100}, now, 0.01, 1)
    assert found is not None
    assert {moved.label for moved in found.moved} == named
    assert found.drifted is bool(named)


def test_what_one_person_answered_is_nowhere_in_a_look() -> None:
    found = looked(Method.SFT, {"billing": 100, "shipping": 100}, {"billing": 95, "shipping": 4, SECRET: 1})
    assert found.drifted
    assert "hunter2" not in found.model_dump_json()

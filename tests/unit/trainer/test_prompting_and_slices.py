"""What goes before a prompt, and which rows make a slice."""

import json
from pathlib import Path
from typing import Any

import pytest

from attune_contract.enums import Method
from attune_contract.spec import Baseline, Workload
from attune_trainer.data import canonical
from attune_trainer.data.examples import Labeled, Pair, Supervised, Turn
from attune_trainer.evaluation import prompting, slices
from attune_trainer.evaluation.prompting import Prompting


def asked(prompt: str, answer: str, name: str = "x#1") -> Supervised:
    return Supervised(name, (Turn("prompt", prompt), Turn("completion", answer, 1)))


def chat(question: str, answer: str, system: str = "") -> Supervised:
    turns = (Turn("user", question), Turn("assistant", answer, 1))
    return Supervised("x#2", ((Turn("system", system),) if system else ()) + turns)


ROWS: list[tuple[Any, Any, Any]] = [
    pytest.param(
        Prompting("Be brief.", (asked("2+2=", "4"),)),
        asked("1+1=", "2"),
        asked("Be brief.\n\n2+2=4\n\n1+1=", "2"),
        id="text",
    ),
    pytest.param(
        Prompting("Be brief.", (chat("2+2?", "4", "Shout."),)),
        chat("1+1?", "2"),
        Supervised(
            "x#2",
            (
                Turn("system", "Be brief."),
                Turn("user", "2+2?"),
                Turn("assistant", "4"),
                Turn("user", "1+1?"),
                Turn("assistant", "2", 1),
            ),
        ),
        id="messages",
    ),
    pytest.param(
        Prompting("Be brief."), chat("1?", "2", "Be kind."), chat("1?", "2", "Be brief.\n\nBe kind."), id="both"
    ),
    pytest.param(
        Prompting("", (Labeled("x#3", "Rain", "bad"),)),
        Labeled("x#4", "Sun", "good"),
        Labeled("x#4", "Rain\nLabel: bad\n\nSun", "good"),
        id="labels",
    ),
    pytest.param(
        Prompting("Hm."),
        Pair("x#5", (Turn("prompt", "a"),), (Turn("completion", "b"),), (Turn("completion", "c"),)),
        Pair("x#5", (Turn("prompt", "Hm.\n\na"),), (Turn("completion", "b"),), (Turn("completion", "c"),)),
        id="pairs",
    ),
    pytest.param(prompting.PLAIN, asked("1+1=", "2"), asked("1+1=", "2"), id="nothing"),
]


@pytest.mark.parametrize(("before", "row", "expected"), ROWS)
def test_what_goes_before_a_prompt(before: Prompting, row: Any, expected: Any) -> None:
    assert before.before(row) == expected


@pytest.mark.parametrize(("few_shot", "drawn"), [(0, 0), (3, 3), (64, 12)])
def test_examples_are_drawn_from_train_by_the_seed(tmp_path: Path, few_shot: int, drawn: int) -> None:
    train = tmp_path / "train.parquet"
    with canonical.Writer(train, canonical.SUPERVISED) as writer:
        for i in range(12):
            writer.write(asked(f"{i}+0=", f"{i}", f"x#{i}"))

    def found(seed: int) -> list[str]:
        work = Workload.model_validate(
            {
                "model": {"source": "s3://m/b"},
                "method": Method.SFT,
                "dataset": {"train": ["s3://d/a.jsonl"]},
                "training": {"epochs": 1, "seed": seed},
                "output": {"uri": "s3://m/o"},
            }
        )
        made = prompting.of(Baseline(name="prompted", system_prompt="Hm.", few_shot=few_shot), work, train)
        return [shot.row_id for shot in made.shots]

    assert found(1) == found(1)
    assert len(set(found(1))) == drawn
    assert not drawn or found(1) != found(2)


def sliced(**values: int) -> list[Any]:
    return [
        Supervised("x", (Turn("prompt", "a"), Turn("completion", "b", 1)), slices=json.dumps({"language": value}))
        for value, rows in values.items()
        for _ in range(rows)
    ]


def test_values_with_ten_rows_are_slices() -> None:
    found = slices.of(["language"], sliced(de=12, en=10, fr=9))

    assert {name: int(mask.sum()) for name, mask in found.masks.items()} == {"language=de": 12, "language=en": 10}
    assert found.left_out == {"language=fr": 9}
    assert slices.of([], sliced(de=12)) == slices.Slices({}, {})


def test_of_many_values_the_most_frequent_are_slices() -> None:
    found = slices.of(["language"], sliced(**{f"l{i}": 10 + i for i in range(slices.MOST + 5)}))

    assert len(found.masks) == slices.MOST
    assert found.left_out == {f"language=l{i}": 10 + i for i in range(5)}

"""What counts as a word, which words are named, and which are not."""

import numpy as np
import pytest

from attune_trainer.monitoring import inputs, levels
from worlds import World

LEVEL = 0.01


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Where is my parcel?", ["where", "is", "my", "parcel"]),
        ("Order 12345 of 2026-11-21 cost 9.90", ["order", "of", "cost"]),
        ("Straße Ärger ΑΘΗΝΑ", ["straße", "ärger", "αθηνα"]),
        ("我的包裹", ["我的", "的包", "包裹"]),
        ("abc我的def", ["abc", "我的", "def"]),
        ("a b", []),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert inputs.words(text) == words


def prompts(rows: int, seed: int, swapped: float = 0.0) -> list[str]:
    return World(swapped=swapped).prompts(rows, np.random.default_rng(seed))


def test_the_same_rows_and_seed_say_the_same() -> None:
    train, recent = prompts(300, 1), prompts(200, 2, 0.3)
    assert inputs.compare(train, recent, LEVEL, 5) == inputs.compare(train, recent, LEVEL, 5)


def test_words_that_moved_are_named_and_those_of_one_person_are_not() -> None:
    mine = [f"please cancel booking {chr(97 + i % 26)}{chr(97 + i // 26)}{chr(97 + i % 7)}" for i in range(60)]
    secret = ["please cancel booking hunterpassword hunterpassword"]
    found = inputs.compare(prompts(300, 1), [*prompts(140, 2), *mine, *secret], LEVEL, 5)
    assert found.drifted
    assert {"please", "cancel", "booking"} <= set(found.more)
    assert "hunterpassword" not in found.more


def test_nothing_is_named_where_nothing_moved() -> None:
    found = inputs.compare(prompts(300, 1), prompts(200, 2), LEVEL, 5)
    assert (found.drifted, found.more, found.less) == (False, (), ())
    assert found.score < found.threshold


@pytest.mark.parametrize("text", ["1234", ""], ids=["numbers", "nothing"])
def test_rows_without_words_have_not_moved(text: str) -> None:
    found = inputs.compare([text] * 100, [text] * 60, LEVEL, 5)
    assert (found.drifted, found.p_value) == (False, 1.0)


@pytest.mark.parametrize(
    ("asked", "shares"),
    [
        ({"inputs": True, "labels": True, "metrics": 2}, (0.05 / 6, 0.05 / 6, 0.05 / 3)),
        ({"inputs": True, "labels": False, "metrics": 0}, (0.05, 0, 0)),
        ({"inputs": False, "labels": False, "metrics": 0}, (0, 0, 0)),
    ],
    ids=["all", "inputs alone", "nothing"],
)
def test_the_rate_is_shared_out_over_what_is_asked(asked: dict[str, int], shares: tuple[float, ...]) -> None:
    found = levels.share(0.05, **asked)  # type: ignore[arg-type]
    assert tuple(found) == pytest.approx(shares)
    assert found.inputs + found.labels + found.metric * asked["metrics"] == pytest.approx(0.05 * any(asked.values()))

"""Rows as applications drop them: what each tells beside its format."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from attune_contract.monitoring import Variant
from attune_contract.spec import Workload
from attune_trainer.monitoring import dropped
from attune_trainer.monitoring.dropped import Told

MOMENT = datetime(2026, 11, 21, 9, 14, tzinfo=UTC)


def work(method: str, **dataset: Any) -> Workload:
    return Workload.model_validate(
        {
            "model": {"source": "s3://models/base"},
            "method": method,
            "dataset": {"train": ["s3://data/train.jsonl"], **dataset},
            "training": {"epochs": 1},
            "output": {"uri": "s3://models/out/"},
        }
    )


def told(method: str, row: dict[str, Any], **dataset: Any) -> Told | None:
    shape = dropped.shape_of(work(method, **dataset), iter([row]))
    checked = shape.check(row, "s3://data/x#1")
    return None if isinstance(checked, list) else Told.loads(checked[0].slices)


@pytest.mark.parametrize(
    ("method", "row", "answered"),
    [
        ("SFT", {"prompt": "a", "completion": " b"}, True),
        ("SFT", {"prompt": "a"}, False),
        ("SFT", {"prompt": "a", "completion": None}, False),
        ("SFT", {"messages": [{"role": "user", "content": "a"}]}, False),
        ("SFT", {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, True),
        ("Classification", {"text": "a", "label": "b"}, True),
        ("Classification", {"text": "a"}, False),
        ("KTO", {"prompt": "a", "completion": "b", "label": True}, True),
        ("KTO", {"prompt": "a", "completion": "b"}, False),
        ("KTO", {"prompt": "a"}, False),
        ("DPO", {"prompt": "a", "chosen": "b", "rejected": "c"}, True),
        ("DPO", {"prompt": "a", "chosen": "b"}, False),
        ("ContinuedPretraining", {"text": "a"}, True),
    ],
)
def test_whether_the_answer_is_there(method: str, row: dict[str, Any], answered: bool) -> None:
    found = told(method, row)
    assert found is not None
    assert found.answered is answered


@pytest.mark.parametrize(
    ("column", "value", "field", "expected"),
    [
        ("timestamp", "2026-11-21T09:14:00Z", "moment", MOMENT.timestamp()),
        ("timestamp", "2026-11-21T10:14:00+01:00", "moment", MOMENT.timestamp()),
        ("timestamp", "2026-11-21T09:14:00", "moment", MOMENT.timestamp()),
        ("timestamp", MOMENT.timestamp(), "moment", MOMENT.timestamp()),
        ("timestamp", MOMENT.timestamp() * 1000, "moment", MOMENT.timestamp()),
        ("timestamp", "yesterday", "moment", None),
        ("timestamp", True, "moment", None),
        ("variant", "challenger", "variant", Variant.CHALLENGER),
        ("variant", "somebody", "variant", None),
        ("variant", 3, "variant", None),
        ("rating", 4, "rating", 4.0),
        ("rating", True, "rating", 1.0),
        ("rating", "good", "rating", None),
    ],
)
def test_what_else_a_row_tells(column: str, value: Any, field: str, expected: Any) -> None:
    found = told("SFT", {"prompt": "a", "completion": "b", column: value})
    assert found is not None
    assert getattr(found, field) == expected


def test_columns_are_called_as_in_the_champion_s_data() -> None:
    found = told("SFT", {"question": "a"}, columns={"prompt": "question", "completion": "answer"})
    assert found == Told(answered=False)
    assert told("SFT", {"prompt": "a"}, columns={"prompt": "question", "completion": "answer"}) is None


@pytest.mark.parametrize(
    ("uri", "day"),
    [
        ("s3://b/fresh/2026-11-21/rows.jsonl", date(2026, 11, 21)),
        ("s3://b/fresh/20261121.jsonl.gz", date(2026, 11, 21)),
        ("s3://b/fresh/2026/11/21/a.jsonl", date(2026, 11, 21)),
        ("s3://b/fresh/year=2026/month=3/day=1/a.jsonl", date(2026, 3, 1)),
        ("s3://b/fresh/dt=2026-11-21/a.jsonl", date(2026, 11, 21)),
        ("s3://b/fresh/2026-13-41.jsonl", None),
        ("s3://b/fresh/rows-1234202611215678.jsonl", None),
        ("s3://b/fresh/rows.jsonl", None),
    ],
)
def test_the_day_of_a_file(uri: str, day: date | None) -> None:
    assert dropped.day_of(uri) == day

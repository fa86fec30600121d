"""Rows as applications drop them: what each tells beside its format."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from attune_contract.monitoring import Variant
from attune_contract.spec import Workload
from attune_trainer.data.files.base import Cells
from attune_trainer.monitoring import dropped
from attune_trainer.monitoring.dropped import Told

MOMENT = datetime(2026, 11, 21, 9, 14, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)


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
        ("DPO", {"prompt": "a"}, False),
        ("ORPO", {"prompt": [{"role": "user", "content": "a"}]}, False),
        ("DPO", {"input": {"messages": [{"role": "user", "content": "a"}]}}, False),
        ("SFT", {"conversations": [{"from": "human", "value": "a"}]}, False),
        ("SFT", {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}, True),
        ("KTO", Cells(prompt="a", completion="b", label="true"), True),
        ("KTO", Cells(prompt="a", completion="b", label=""), False),
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
        ("timestamp", int(MOMENT.timestamp()) * 10**9, "moment", MOMENT.timestamp()),
        ("timestamp", MOMENT, "moment", MOMENT.timestamp()),
        ("timestamp", MOMENT.replace(tzinfo=None), "moment", MOMENT.timestamp()),
        ("timestamp", MOMENT.date(), "moment", MIDNIGHT.timestamp()),
        ("timestamp", None, "moment", None),
        ("timestamp", "", "moment", None),
        ("variant", "challenger", "variant", Variant.CHALLENGER),
        ("variant", "somebody", "variant", None),
        ("variant", 3, "variant", None),
        ("rating", 4, "rating", 4.0),
        ("rating", True, "rating", 1.0),
        ("rating", "good", "rating", None),
        ("rating", "5", "rating", None),
        ("rating", 10**400, "rating", None),
    ],
)
def test_what_else_a_row_tells(column: str, value: Any, field: str, expected: Any) -> None:
    found = told("SFT", {"prompt": "a", "completion": "b", column: value})
    assert found is not None
    assert getattr(found, field) == expected


@pytest.mark.parametrize(
    ("column", "cell", "field", "expected"),
    [
        ("timestamp", "1500000000", "moment", 1_500_000_000),
        ("timestamp", "2026-11-21T09:14:00Z", "moment", MOMENT.timestamp()),
        ("timestamp", "20261121", "moment", MIDNIGHT.timestamp()),
        ("timestamp", "", "moment", None),
        ("rating", "5", "rating", 5.0),
        ("rating", "True", "rating", 1.0),
        ("rating", "nan", "rating", None),
        ("rating", "", "rating", None),
    ],
)
def test_cells_of_a_csv_file_are_read_as_what_they_look_like(column: str, cell: str, field: str, expected: Any) -> None:
    found = told("SFT", Cells({"prompt": "a", "completion": "b", column: cell}))
    assert found is not None
    assert getattr(found, field) == expected


@pytest.mark.parametrize(
    "value", ["yesterday", "21/11/2020 09:00", "1500000000", True, 10**400, 1e300, [MOMENT.timestamp()]], ids=str
)
def test_a_time_that_nobody_understands_is_told_and_makes_no_row_recent(value: Any) -> None:
    row = {"prompt": "a", "completion": "b", "timestamp": value}
    checked = dropped.shape_of(work("SFT"), iter([row])).check(row, "s3://data/x#1")
    assert isinstance(checked, list)
    assert [(found.code, found.field) for found in checked] == [("data_type", "timestamp")]
    assert "2026-11-21T09:14:00Z" in checked[0].message


def test_plain_text_is_all_answer() -> None:
    assert Told.loads("") == Told(answered=True)


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
        ("s3://b/fresh/2024-01-15-launch/2026-11-21/rows.jsonl", date(2026, 11, 21)),
        ("s3://b/fresh/year=2024/month=1/day=15/2026-11-21.jsonl", date(2026, 11, 21)),
    ],
)
def test_the_day_of_a_file(uri: str, day: date | None) -> None:
    assert dropped.day_of(uri, "s3://b/fresh/") == day


@pytest.mark.parametrize(
    ("source", "day"),
    [
        ("s3://b/2024-01-15-launch/fresh/", None),
        ("s3://b/2024-01-15-launch/**/*.jsonl", None),
        ("s3://b/2024-01-15-launch/fresh/rows.jsonl", None),
        ("s3://b/2024-01-1[0-9]-launch/fresh/*.jsonl", date(2024, 1, 15)),
    ],
)
def test_a_day_in_the_folders_that_all_files_share_says_nothing(source: str, day: date | None) -> None:
    assert dropped.day_of("s3://b/2024-01-15-launch/fresh/rows.jsonl", source) == day

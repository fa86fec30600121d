from collections.abc import Sequence

import pytest
from benchmarks.observed import count_writes, process
from benchmarks.report import Figure, percentile, shares, table

METRICS = """\
# TYPE attune_api_requests_total counter
attune_api_requests_total{resource="jobs",verb="GET"} 7.0
attune_api_requests_total{resource="jobs",verb="POST"} 2.0
attune_api_requests_total{resource="finetunejobs/status",verb="PUT"} 4.0
# TYPE attune_workqueue_depth gauge
attune_workqueue_depth 3.0
"""


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        pytest.param([5], 50, 5, id="one value is every percentile"),
        pytest.param([4, 1, 3, 2], 50, 2, id="the lower middle of an even number"),
        pytest.param([3, 1, 2], 50, 2, id="the middle of an odd number"),
        pytest.param(range(1, 101), 99, 99, id="p99 of a hundred leaves one out"),
        pytest.param(range(1, 61), 99, 60, id="p99 of sixty is the largest"),
    ],
)
def test_a_percentile_is_a_value_that_was_measured(values: Sequence[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


@pytest.mark.parametrize(
    ("value", "aim", "at_least", "met"),
    [
        pytest.param(20, 20, False, True, id="exactly the most that is allowed"),
        pytest.param(20.1, 20, False, False, id="more than is allowed"),
        pytest.param(100, 100, True, True, id="exactly the least that is asked"),
        pytest.param(99, 100, True, False, id="less than is asked"),
        pytest.param(7, None, False, None, id="no aim"),
    ],
)
def test_whether_an_aim_is_met(value: float, aim: float | None, at_least: bool, met: bool | None) -> None:
    assert Figure("what", value, "ms", aim, at_least).met is met


def test_the_table_shows_figure_aim_and_whether_it_is_met() -> None:
    figures = [Figure("latency", 25.04, "ms", 20, beside="theirs: 30"), Figure("rate", 120.4, "/s", 100, at_least=True)]
    assert [line.split() for line in table(figures).splitlines()[1:]] == [
        ["latency", "25.0", "ms", "≤", "20", "ms", "no", "theirs:", "30"],
        ["rate", "120", "/s", "≥", "100", "/s", "yes"],
    ]


def test_only_requests_that_write_are_counted() -> None:
    assert count_writes(METRICS) == {"POST jobs": 2, "PUT finetunejobs/status": 4}


def test_shares_are_per_run_and_largest_first() -> None:
    assert shares(count_writes(METRICS), 2) == "2 PUT finetunejobs/status, 1 POST jobs"


def test_what_a_process_takes_is_read_past_a_name_with_spaces_and_brackets() -> None:
    stat = "17 (a ) b) S 1 1 1 0 -1 4194304 1 2 3 4 150 50 0 0 20 0 1 0"
    usage = process("Name:\ta\nVmRSS:\t   20480 kB\n", stat)
    assert (usage.mebibytes, usage.cpu_seconds) == (20.0, 2.0)

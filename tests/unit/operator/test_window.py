"""When a daily window is open; clock changes as in test_cron."""

from datetime import UTC, datetime

import pytest

from attune_operator.api.schedules import Window
from attune_operator.timing.window import is_open, opens

NIGHT = Window(start="22:00", end="06:00")
DAY = Window(start="09:30", end="17:00")
BERLIN = Window(start="02:30", end="04:00", time_zone="Europe/Berlin")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "now", "found"),
    [
        (NIGHT, "2026-01-01T21:59", False),
        (NIGHT, "2026-01-01T22:00", True),
        (NIGHT, "2026-01-02T05:59", True),
        (NIGHT, "2026-01-02T06:00", False),
        (DAY, "2026-01-01T09:29", False),
        (DAY, "2026-01-01T09:30", True),
        (DAY, "2026-01-01T17:00", False),
        (BERLIN, "2026-01-01T01:29", False),
        (BERLIN, "2026-01-01T01:30", True),
        (BERLIN, "2026-03-29T01:00", True),
        (BERLIN, "2026-10-25T00:30", True),
        (BERLIN, "2026-10-25T01:00", False),
        (BERLIN, "2026-10-25T01:30", True),
        (BERLIN, "2026-10-25T03:00", False),
    ],
)
def test_a_window_is_open_between_its_times(window: Window, now: str, found: bool) -> None:
    assert is_open(window, utc(now)) is found


@pytest.mark.parametrize(
    ("window", "now", "then"),
    [
        (NIGHT, "2026-01-01T12:00", "2026-01-01T22:00"),
        (NIGHT, "2026-01-01T22:00", "2026-01-02T22:00"),
        (DAY, "2026-01-01T18:00", "2026-01-02T09:30"),
        (BERLIN, "2026-03-28T12:00", "2026-03-29T01:30"),
        (BERLIN, "2026-10-24T12:00", "2026-10-25T00:30"),
    ],
)
def test_it_opens_again_at(window: Window, now: str, then: str) -> None:
    assert opens(window, utc(now)) == utc(then)

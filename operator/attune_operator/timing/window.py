"""Whether a daily window is open, and when it opens next. Pure."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from attune_operator.api.schedules import Window


def is_open(window: Window, now: datetime) -> bool:
    """Whether runs may start; the start is in the window, the end is not."""
    here = now.astimezone(ZoneInfo(window.time_zone)).time()
    start, end = time.fromisoformat(window.start), time.fromisoformat(window.end)
    return start <= here < end if start < end else here >= start or here < end


def opens(window: Window, now: datetime) -> datetime:
    """When it opens next, in UTC; where a clock change leaves that time out, as soon as it is over."""
    zone, start = ZoneInfo(window.time_zone), time.fromisoformat(window.start)
    day = now.astimezone(zone).date()
    days = (day + timedelta(days=n) for n in range(-1, 3))
    times = (datetime.combine(d, start, zone).astimezone(UTC) for d in days)
    return next(t for t in times if t > now)

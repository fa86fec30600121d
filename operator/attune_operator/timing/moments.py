"""Moments and lengths of time, as text and back."""

from datetime import UTC, datetime, timedelta

from attune_contract.quantities import seconds


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, as the Kubernetes API writes times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """The moment that a stamp says."""
    return datetime.fromisoformat(text)


def length(text: str | None) -> timedelta:
    """A Go duration as a length of time; nothing for None."""
    return timedelta(seconds=seconds(text)) if text else timedelta()


def month(now: datetime) -> str:
    """The calendar month, in UTC, such as `2026-11`."""
    return now.astimezone(UTC).strftime("%Y-%m")


def next_month(now: datetime) -> datetime:
    """When the next calendar month begins, in UTC."""
    first = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)

"""Spans of time whose deliveries one worker reads together."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

MAX_EVENTS = 100_000
"""Events of one span, whose ids are in memory together."""
_HOUR = timedelta(hours=1)
EVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))


class Span(NamedTuple):
    """A time in which events occurred, of at most a day; the end is exclusive."""

    start_at: datetime
    end_at: datetime
    events: int = 0
    """How many deliveries of it are to be read."""


def spans_of(hours: Iterable[Mapping[str, Any]], start_at: datetime, end_at: datetime) -> list[Span]:
    """Return the spans within a time, in order, of rows that say how many `events` the hour from `start_at` has.

    The hours of a day are joined as far as `MAX_EVENTS` allows: a day is read as a whole.
    """
    spans = [Span(row["start_at"], row["start_at"] + _HOUR, row["events"]) for row in hours]
    return [Span(max(each.start_at, start_at), min(each.end_at, end_at), each.events) for each in _joined(spans)]


def _joined(hours: Sequence[Span]) -> list[Span]:
    found: list[Span] = []
    for hour in hours:
        before = found[-1] if found else None
        if before and before.start_at.date() == hour.start_at.date() and before.events + hour.events <= MAX_EVENTS:
            found[-1] = Span(before.start_at, hour.end_at, before.events + hour.events)
        else:
            found.append(hour)
    return found

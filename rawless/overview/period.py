"""`Period`: the partitions of the events and rejections that are counted."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rawless.warehouse.tables import START_OF_EVENTS

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Period:
    """The time from `start_at` up to `end_at`, exclusive; what is `recent` in it is since `recent_at`."""

    start_at: datetime
    end_at: datetime
    recent_at: datetime


def last(duration: timedelta | None = None, now: datetime | None = None) -> Period:
    """Return the period up to a day after now, since events may be dated so late; without a duration from the first on.

    What is recent in it is the last day before now.
    """
    now = now or datetime.now(UTC)
    start = now - duration if duration is not None and duration < now - START_OF_EVENTS else START_OF_EVENTS
    return Period(start, now + DAY, now - DAY)

"""The demo: real digits and texts that every installation has, used as customers' uploads and messages."""

import random
from datetime import UTC, datetime, timedelta

_MINUTES = 60 * 24 * 60


def today() -> datetime:
    """Return the start of the current day in UTC, so that events keep their times when the demo runs again."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def occurred_at(now: datetime, chance: random.Random) -> str:
    """Return a random time of the last sixty days in ISO 8601."""
    return (now - timedelta(minutes=chance.randrange(_MINUTES))).isoformat()


def customer(number: int) -> str:
    """Return an invented customer id, as a business would have it."""
    return f"customer-{number:03d}@example.com"

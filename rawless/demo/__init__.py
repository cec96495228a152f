"""What the demo feeds: real digits and texts that every machine with Rawless has, posing as uploads and messages."""

import random
from datetime import UTC, datetime, timedelta

_MINUTES = 60 * 24 * 60


def today() -> datetime:
    """Now, to the day: the demo's events keep their times when it is run again."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def occurred_at(now: datetime, chance: random.Random) -> str:
    """A moment of the last sixty days."""
    return (now - timedelta(minutes=chance.randrange(_MINUTES))).isoformat()


def customer(number: int) -> str:
    """A made-up customer's id, as a business would have it."""
    return f"customer-{number:03d}@example.com"

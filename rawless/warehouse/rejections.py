"""Rejections that a replay may undo."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER

_QUERY = FOLDER / "rejection_v1" / "open.sql"
_KEPT = timedelta(days=91)
"""Rejections are kept 90 days."""
_START_OF_EVENTS = datetime(1900, 1, 1, tzinfo=UTC)
"""Before any event: the table asks for a bound."""


@dataclass(frozen=True)
class Rejections:
    """What became of the events that were rejected for one reason."""

    open: tuple[str, ...]
    """Ids of those that some encoder has not embedded, first rejected first."""
    embedded: int
    """Events that were embedded by now."""
    unidentified: int
    """Deliveries without an id that could be stored, which therefore cannot be found again."""
    first_rejected_at: datetime | None
    """Of those that are open or unidentified."""


def rejections(warehouse: Warehouse, stream: str, reason: str, fingerprints: Sequence[str]) -> Rejections:
    """What a stream's encoders have not embedded because of a reason. Raises what `Warehouse.query` does."""
    now = datetime.now(UTC)
    times = {"start_at": now - _KEPT, "end_at": now, "start_of_events": _START_OF_EVENTS}
    values = {"stream": stream, "reason": reason, "fingerprints": list(fingerprints), **times}
    rows = warehouse.query(warehouse.render(_QUERY), parameters(values))
    unidentified = [row for row in rows if row["event_id"] is None]
    found = [row for row in rows if row["event_id"] is not None and row["is_open"]]
    return Rejections(
        open=tuple(row["event_id"] for row in found),
        embedded=len(rows) - len(found) - len(unidentified),
        unidentified=sum(row["deliveries"] for row in unidentified),
        first_rejected_at=min((row["first_rejected_at"] for row in [*found, *unidentified]), default=None),
    )

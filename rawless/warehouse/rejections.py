"""Find the rejected events that a replay can embed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER, START_OF_EVENTS

_QUERY = FOLDER / "rejection_v1" / "open.sql"
_RETENTION = timedelta(days=91)
"""Rejections are kept for 90 days."""


@dataclass(frozen=True)
class Rejections:
    """The events of a stream that were rejected for one reason, by what happened to them since."""

    open: tuple[str, ...]
    """Ids of those that at least one encoder has not embedded, in the order of their first rejection."""
    embedded: int
    """The number of events that were embedded since."""
    unidentified: int
    """The number of deliveries without a valid id, which cannot be found again."""
    first_rejected_at: datetime | None
    """The first rejection among the open and unidentified ones."""


def rejections(warehouse: Warehouse, stream: str, reason: str, fingerprints: Sequence[str]) -> Rejections:
    """Return the rejections of a stream for one reason. Raises what `Warehouse.query` raises."""
    now = datetime.now(UTC)
    times = {"start_at": now - _RETENTION, "end_at": now, "start_of_events": START_OF_EVENTS}
    values = {"stream": stream, "reason": reason, "fingerprints": list(fingerprints), **times}
    rows = warehouse.query(warehouse.render(_QUERY), parameters(values))
    unidentified = [row for row in rows if row["event_id"] is None]
    still_open = [row for row in rows if row["event_id"] is not None and row["is_open"]]
    return Rejections(
        open=tuple(row["event_id"] for row in still_open),
        embedded=len(rows) - len(still_open) - len(unidentified),
        unidentified=sum(row["deliveries"] for row in unidentified),
        first_rejected_at=min((row["first_rejected_at"] for row in [*still_open, *unidentified]), default=None),
    )

"""Which stored deliveries of a stream a head has not predicted yet, and how many."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rawless.prediction.chosen_head import ChosenHead
from rawless.warehouse.client import Warehouse
from rawless.warehouse.deliveries import Delivery
from rawless.warehouse.parameters import parameters
from rawless.warehouse.spans import Span, spans_of
from rawless.warehouse.tables import FOLDER

_STATEMENTS = FOLDER / "prediction_v1"


def unpredicted(warehouse: Warehouse, stream: str, head: ChosenHead, span: Span) -> Iterator[Delivery]:
    """Yield event id, origin and time of logging of each delivery in a span without a prediction."""
    statement = warehouse.render(_STATEMENTS / "unpredicted.sql")
    rows = warehouse.query(statement, parameters(_values(stream, head, span.start_at, span.end_at)))
    return ((row["event_id"], row["origin"], row["logged_at"]) for row in rows)


def unpredicted_spans(
    warehouse: Warehouse, stream: str, head: ChosenHead, start_at: datetime, end_at: datetime
) -> list[Span]:
    """Return the spans of a time that have deliveries without a prediction, in order."""
    statement = warehouse.render(_STATEMENTS / "unpredicted_hours.sql")
    rows = warehouse.query(statement, parameters(_values(stream, head, start_at, end_at)))
    return spans_of(rows, start_at, end_at)


def _values(stream: str, head: ChosenHead, start_at: datetime, end_at: datetime) -> dict[str, Any]:
    manifest = head.stored.manifest
    by_head = {"head": manifest.head, "version": manifest.version, "fingerprint": head.vectors.fingerprint}
    return {"stream": stream, **by_head, "start_at": start_at, "end_at": end_at}

"""Vectors of the same events by two encoders, which were logged while a stream had both."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from encoders.spec import EncoderSpec, Vector
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.read import embeddings_of, read
from rawless.warehouse.tables import FOLDER

MAX_ROWS = 50_000
"""How many events are read unless a caller asks for another number: a random sample, the same each time."""
MAX_IDS = 50_000
"""How many event ids a query has as a parameter; BigQuery takes requests of at most 10 MB."""
_PAIRED, _DELIVERED = (FOLDER / "embedding_event_v1" / f"{name}.sql" for name in ("paired", "delivered"))
_COLUMNS = ("event_id", "origin", "logged_at", "embedding")


@dataclass(frozen=True)
class PairedVectors:
    """Events in the order of a random sample, with the vector of each by two encoders."""

    stream: str
    event_ids: tuple[str, ...]
    subject_keys: tuple[str | None, ...]
    """The pseudonym of each event's person, None for events without."""
    first: Vector
    """Of shape (events, dimension of the first encoder)."""
    second: Vector

    def __len__(self) -> int:
        return len(self.event_ids)


def paired_vectors(
    warehouse: Warehouse, stream: str, first: EncoderSpec, second: EncoderSpec, row_limit: int = MAX_ROWS
) -> PairedVectors:
    """Return the vectors of the events of a stream that both encoders embedded. Raises UserError if there are none."""
    values = {"first": first.fingerprint, "second": second.fingerprint, "row_limit": row_limit}
    rows = warehouse.query(warehouse.render(_PAIRED), parameters(_all_events(stream) | values))
    if not rows:
        raise UserError(
            f"No event of {stream} has vectors of both {first.ref} and {second.ref}: list both in the stream file's "
            "encoders, and ingest for some time."
        )
    return PairedVectors(
        stream,
        tuple(row["event_id"] for row in rows),
        tuple(row["subject_key"] for row in rows),
        _vectors(warehouse, stream, first, rows, "first_logged_at"),
        _vectors(warehouse, stream, second, rows, "second_logged_at"),
    )


def vectors_of(warehouse: Warehouse, stream: str, spec: EncoderSpec, event_ids: Sequence[str]) -> Mapping[str, Vector]:
    """Return the vectors by an encoder of those of these events that have one, by event id."""
    values = _all_events(stream) | {"fingerprint": spec.fingerprint}
    rows = [
        row
        for start in range(0, len(event_ids), MAX_IDS)
        for row in warehouse.query(
            warehouse.render(_DELIVERED), parameters(values | {"event_ids": event_ids[start : start + MAX_IDS]})
        )
    ]
    vectors = _vectors(warehouse, stream, spec, rows, "logged_at") if rows else ()
    return {row["event_id"]: vector for row, vector in zip(rows, vectors, strict=True)}


def _all_events(stream: str) -> dict[str, Any]:
    """Return the parameters that select all events of a stream."""
    now = datetime.now(UTC) + timedelta(days=2)  # producers may date an event up to a day after now
    return {"stream": stream, "start_at": datetime.fromtimestamp(0, UTC), "end_at": now}


def _vectors(
    warehouse: Warehouse, stream: str, spec: EncoderSpec, rows: list[dict[str, Any]], logged_at: str
) -> Vector:
    """Return the vectors of the rows' deliveries by an encoder, of shape (rows, dimension)."""
    places = {(row["event_id"], row["origin"], row[logged_at]): place for place, row in enumerate(rows)}
    first_at, last_at = (extreme(row["occurred_at"] for row in rows) for extreme in (min, max))
    found = np.full((len(rows), spec.dimension), np.nan, np.float32)
    restriction = (
        f"stream = '{stream}' AND encoder_fingerprint = '{spec.fingerprint}' "
        f"AND occurred_at >= TIMESTAMP '{first_at.isoformat()}' AND occurred_at <= TIMESTAMP '{last_at.isoformat()}'"
    )
    for key, vector in _deliveries(warehouse, restriction):
        if (place := places.get(key)) is not None:
            found[place] = vector
    if np.isnan(found).any():
        raise UserError("Rows were deleted while they were read: run the command again.")
    return found


def _deliveries(warehouse: Warehouse, restriction: str) -> Iterator[tuple[tuple[str, str, datetime], Any]]:
    for batch in read(warehouse, warehouse.table_id("embedding_event_v1"), _COLUMNS, restriction):
        keys = zip(*(batch.column(name).to_pylist() for name in _COLUMNS[:-1]), strict=True)
        yield from zip(keys, embeddings_of(batch), strict=True)

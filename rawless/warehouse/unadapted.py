"""Which deliveries of a stream still need a vector by an encoder with an adapter, and how many."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from encoders.adapter import Adapter
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.deliveries import Delivery
from rawless.warehouse.parameters import parameters
from rawless.warehouse.spans import Span, spans_of
from rawless.warehouse.tables import FOLDER

_STATEMENTS = FOLDER / "embedding_event_v1"


def adapter_of(encoder: EncoderSpec) -> Adapter:
    """Return the adapter of an encoder. Raises UserError for an encoder without one."""
    if encoder.adapter is None:
        raise UserError(
            f"{encoder.ref} has no adapter, so it has no vectors but of content: name an encoder that "
            "`rawless encoder adapt` made."
        )
    return encoder.adapter


def values(stream: str, encoder: EncoderSpec, start_at: datetime, end_at: datetime) -> dict[str, Any]:
    """Return the parameters that select the deliveries of a time, by name."""
    adapter = adapter_of(encoder)
    fingerprints = {"source": adapter.source, "target": adapter.target, "adapted": encoder.fingerprint}
    return {"stream": stream, **fingerprints, "start_at": start_at, "end_at": end_at}


def unadapted(warehouse: Warehouse, stream: str, encoder: EncoderSpec, span: Span) -> Iterator[Delivery]:
    """Yield event id, origin and time of logging of each delivery in a span that needs a vector."""
    statement = warehouse.render(_STATEMENTS / "unadapted.sql")
    rows = warehouse.query(statement, parameters(values(stream, encoder, span.start_at, span.end_at)))
    return ((row["event_id"], row["origin"], row["logged_at"]) for row in rows)


def spans(warehouse: Warehouse, stream: str, encoder: EncoderSpec, start_at: datetime, end_at: datetime) -> list[Span]:
    """Return the spans of a time that have deliveries that need a vector, in order."""
    statement = warehouse.render(_STATEMENTS / "unadapted_hours.sql")
    rows = warehouse.query(statement, parameters(values(stream, encoder, start_at, end_at)))
    return spans_of(rows, start_at, end_at)

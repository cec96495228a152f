"""Which deliveries of a stream still need a vector by an encoder with an adapter, and how many."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from encoders.adapter import Adapter
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER

MAX_EVENTS = 100_000
"""Events of one span, whose ids are in memory together."""
_STATEMENTS = FOLDER / "embedding_event_v1"
_HOUR = timedelta(hours=1)
EVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))


class Span(NamedTuple):
    """A time in which events occurred, of at most a day; the end is exclusive."""

    start_at: datetime
    end_at: datetime
    events: int = 0
    """How many deliveries of it need a vector."""


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


def unadapted(
    warehouse: Warehouse, stream: str, encoder: EncoderSpec, span: Span
) -> Iterator[tuple[str, str, datetime]]:
    """Yield event id, origin and time of logging of each delivery in a span that needs a vector."""
    statement = warehouse.render(_STATEMENTS / "unadapted.sql")
    rows = warehouse.query(statement, parameters(values(stream, encoder, span.start_at, span.end_at)))
    return ((row["event_id"], row["origin"], row["logged_at"]) for row in rows)


def spans(warehouse: Warehouse, stream: str, encoder: EncoderSpec, start_at: datetime, end_at: datetime) -> list[Span]:
    """Return the spans of a time that have deliveries that need a vector, in order."""
    statement = warehouse.render(_STATEMENTS / "unadapted_hours.sql")
    rows = warehouse.query(statement, parameters(values(stream, encoder, start_at, end_at)))
    hours = [Span(row["start_at"], row["start_at"] + _HOUR, row["events"]) for row in rows]
    return [Span(max(each.start_at, start_at), min(each.end_at, end_at), each.events) for each in _joined(hours)]


def _joined(hours: Sequence[Span]) -> list[Span]:
    """Return the spans of hours, those of a day joined as far as `MAX_EVENTS` allows: a day is read as a whole."""
    found: list[Span] = []
    for hour in hours:
        before = found[-1] if found else None
        if before and before.start_at.date() == hour.start_at.date() and before.events + hour.events <= MAX_EVENTS:
            found[-1] = Span(before.start_at, hour.end_at, before.events + hour.events)
        else:
            found.append(hour)
    return found

"""Inspections: who looked at which item in its source system, and why. The item itself never passes through Rawless."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from rawless.audit.reason_codes import InspectionReason
from rawless.errors import UserError
from rawless.events.stream import Stream
from rawless.warehouse.account import local_account
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER, START_OF_EVENTS

_EXISTS = FOLDER / "inspection_v1" / "event_exists.sql"
_RECORD = FOLDER / "inspection_v1" / "record.sql"


@dataclass(frozen=True)
class Inspection:
    """An inspection that is recorded, and the link for the person who asked for it."""

    inspection_id: str
    link: str


def inspect(warehouse: Warehouse, stream: Stream, event_id: str, reason: InspectionReason, ticket: str) -> Inspection:
    """Record an inspection of an event, then return the link to its item in the source system.

    Raises UserError if the stream has no links, or no such event is known, without the id, since somebody may have
    given content instead. Raises what `Warehouse.query` raises, and then there is no link.
    """
    if stream.inspect is None:
        raise UserError(
            f"{stream.stream} names no source system: add inspect: {{url: 'https://…/{{event_id}}'}} to its file."
        )
    if not stream.allows_id(event_id) or not event_id.strip("."):  # a browser would follow '..' to another page
        raise UserError(f"The event id does not match the pattern of {stream.stream}: give an id of its events.")
    event = {"stream": stream.stream, "event_id": event_id}
    values = parameters({**event, "start_of_events": START_OF_EVENTS})
    (found,) = warehouse.query(warehouse.render(_EXISTS), values)
    if not found["is_known"]:
        raise UserError(
            f"The warehouse has neither an embedding nor a rejection of this event of {stream.stream}: check the id."
        )
    inspection_id = uuid4().hex
    record = {
        "inspection_id": inspection_id,
        **event,
        "reason": reason.value,
        "ticket": ticket,
        "local_account": local_account(warehouse),
        "inspected_at": datetime.now(UTC),
    }
    warehouse.query(warehouse.render(_RECORD), parameters(record))
    return Inspection(inspection_id, stream.inspect.link(event_id))

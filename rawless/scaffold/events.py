"""Rows as events that `rawless ingest` reads, and their labels as a table that `rawless load` loads."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from rawless.errors import UserError
from rawless.events.stream import MAX_AGE
from rawless.privacy import Raw, Reason, guarded
from rawless.scaffold.class_names import class_names
from rawless.scaffold.facts import texts_of
from rawless.scaffold.proposal import Proposal
from rawless.scaffold.rows import SourceRows

ID_PREFIX = "row-"
_URI_SCHEMES = ("gs://", "file://")


@dataclass(frozen=True)
class EventForm:
    """How events are made of rows: the columns, the name of the stream, and the field of the content."""

    proposal: Proposal
    stream: str
    is_image: bool
    id_digits: int
    """How many digits the numbers of rows have that are the ids of events without a column of ids."""

    @property
    def id_pattern(self) -> str:
        """Return the pattern of the ids that are numbers of rows."""
        return rf"{ID_PREFIX}\d{{{self.id_digits}}}"


class Written(NamedTuple):
    """A file's content, and how many rows it has and lacks."""

    content: Raw[bytes]
    rows: int
    left_out: int
    too_old: int
    """Rows whose events `rawless ingest` rejects because they occurred too long ago."""


def as_events(rows: SourceRows, form: EventForm) -> Written:
    """Return events as JSON Lines, without rows that have no content. Raises UserError if they cannot be made."""
    return _written(guarded(_events, rows, form), rows)


def as_labels(rows: SourceRows, form: EventForm) -> Written:
    """Return the labels as CSV with the columns event_id, label and labelled_at, without rows that have none."""
    return _written(guarded(_labels, rows, form), rows)


def _written(made: Written | Reason, rows: SourceRows) -> Written:
    if isinstance(made, Reason):
        raise UserError(
            f"The rows of {rows.path} cannot be made into events: its times must be dates, or as in "
            "2026-03-01T12:00:00Z; name other columns."
        )
    return made


class _Row(NamedTuple):
    event_id: str
    at: datetime
    values: dict[str, str | None]


def _rows(rows: SourceRows, form: EventForm) -> Iterator[_Row]:
    """Yield the rows with content. Without a column of times all have the time when the file was changed last."""
    proposal, table = form.proposal, rows.table.reveal()
    names = (proposal.content, proposal.id, proposal.time, proposal.subject, proposal.label, *proposal.attributes)
    columns = {name: texts_of(table, name) for name in dict.fromkeys(names) if name}
    for number in range(table.num_rows):
        values = {name: column[number] for name, column in columns.items()}
        if values[proposal.content] is None:
            continue
        own_id = values[proposal.id] if proposal.id else None
        at = _time(values[proposal.time]) if proposal.time and values[proposal.time] else rows.changed_at
        yield _Row(own_id or f"{ID_PREFIX}{number + 1:0{form.id_digits}}", at, values)


def _time(text: str | None) -> datetime:
    """Return a time. One without a zone is in UTC, and a date is its beginning."""
    parsed = datetime.fromisoformat((text or "").strip().replace(" UTC", "Z"))
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _events(rows: SourceRows, form: EventForm) -> Written:
    lines, oldest = io.StringIO(), datetime.now(UTC) - MAX_AGE
    count = too_old = 0
    for row in _rows(rows, form):
        lines.write(json.dumps(_event(row, rows, form), ensure_ascii=False) + "\n")
        count, too_old = count + 1, too_old + (row.at < oldest)
    return Written(Raw(lines.getvalue().encode()), count, rows.table.reveal().num_rows - count, too_old)


def _event(row: _Row, rows: SourceRows, form: EventForm) -> dict[str, Any]:
    proposal = form.proposal
    event: dict[str, Any] = {"event_id": row.event_id, "occurred_at": row.at.isoformat(), "stream": form.stream}
    if proposal.subject and row.values[proposal.subject] is not None:
        event["subject_id"] = row.values[proposal.subject]
    if given := {name: row.values[name] for name in proposal.attributes if row.values[name] is not None}:
        event["attributes"] = given
    content = row.values[proposal.content] or ""
    return event | ({"uri": _uri(content, rows)} if form.is_image else {"text": content})


def _uri(name: str, rows: SourceRows) -> str:
    """Return the URI of an image: a path is relative to the folder of the file that names it."""
    if name.startswith(_URI_SCHEMES):
        return name
    return f"file://{quote(str(rows.path.absolute().parent / name))}"


def _labels(rows: SourceRows, form: EventForm) -> Written:
    label = form.proposal.label or ""
    names = class_names(value for value in texts_of(rows.table.reveal(), label) if value is not None)
    lines, count = io.StringIO(), 0
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(("event_id", "label", "labelled_at"))
    for row in _rows(rows, form):
        if (value := row.values[label]) is not None:
            writer.writerow((row.event_id, names[value], row.at.isoformat()))
            count += 1
    return Written(Raw(lines.getvalue().encode()), count, rows.table.reveal().num_rows - count, 0)


def uri_prefix(rows: SourceRows, form: EventForm) -> str | None:
    """Return the folder that contains all images, as a prefix of their URIs; None if there is none."""
    found = guarded(_prefix, rows, form.proposal.content)
    return None if isinstance(found, Reason) else found


def _prefix(rows: SourceRows, name: str) -> str | None:
    uris = [_uri(value, rows) for value in texts_of(rows.table.reveal(), name) if value is not None]
    if rows.is_folder:
        return f"file://{quote(str(rows.path.absolute()))}/"
    first, last = min(uris), max(uris)
    shared = next((n for n, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    scheme, _, path = first[:shared].rpartition("/")[0].partition("://")
    return f"{scheme}://{path}/" if scheme and path.strip("/") else None


def only_value(rows: SourceRows, name: str) -> str | None:
    """Return the only value of a column, None if it has several or none."""
    found = guarded(lambda: frozenset(texts_of(rows.table.reveal(), name)))
    return next(iter(found)) if isinstance(found, frozenset) and len(found) == 1 else None

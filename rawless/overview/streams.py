"""The streams of a warehouse: events and rejections by day, and the encoders with their roles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from rawless.overview.encoders import encoder_names, name_of
from rawless.overview.period import Period
from rawless.warehouse import stream_pointers
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import Parameters, parameters
from rawless.warehouse.stream_pointers import Pointers, Role
from rawless.warehouse.tables import FOLDER

_STREAMS, _REJECTIONS = FOLDER / "overview" / "streams.sql", FOLDER / "overview" / "rejections.sql"


@dataclass(frozen=True)
class StreamEncoder:
    """An encoder of a stream, with the events that it embedded in the period."""

    encoder: str
    """NAME@VERSION, or the beginning of the fingerprint if the name is not known."""
    fingerprint: str
    role: Role | None
    """None if the stream has no pointers: then the first encoder of the stream file is live."""
    events: int
    last_at: datetime | None


@dataclass(frozen=True)
class Day:
    """What happened on one day in UTC: events that occurred on it, and deliveries that were rejected on it."""

    day: date
    events: int
    rejections: int


@dataclass(frozen=True)
class StreamSummary:
    """A stream in a period. An event counts once, however often it was delivered and embedded."""

    stream: str
    events: int
    recent_events: int
    served_events: int
    """Events that a service logged."""
    last_at: datetime | None
    """When the last event occurred."""
    last_logged_at: datetime | None
    """When the last row was written."""
    rejections: Mapping[str, int]
    """Rejected deliveries by reason, the most frequent first; one for each encoder, if it was rejected in encoding."""
    recent_rejections: int
    last_rejected_at: datetime | None
    days: tuple[Day, ...]
    """Days with events or rejections, in order."""
    encoders: tuple[StreamEncoder, ...]
    """The live one first, then the one with the most events."""

    @property
    def rejected(self) -> int:
        """The number of rejected deliveries."""
        return sum(self.rejections.values())


@dataclass(frozen=True)
class Streams:
    """The streams in a period, by name, and what BigQuery read to count them; the local one says zero bytes."""

    streams: tuple[StreamSummary, ...]
    bytes_processed: int


def streams(warehouse: Warehouse, period: Period) -> Streams:
    """Return the streams that have events or rejections in a period, or encoders with roles.

    Raises UserError for an account that may not read them, Unavailable when the warehouse does not answer.
    """
    counted, counting = warehouse.run(warehouse.render(_STREAMS), _values(period))
    rejected, rejecting = warehouse.run(warehouse.render(_REJECTIONS), _values(period))
    pointers = stream_pointers.read_all(warehouse)
    names = encoder_names(warehouse)
    found = sorted({row["stream"] for row in (*counted, *rejected)} | set(pointers))
    return Streams(
        tuple(
            _summary(
                stream,
                [row for row in counted if row["stream"] == stream],
                [row for row in rejected if row["stream"] == stream],
                pointers.get(stream),
                names,
            )
            for stream in found
        ),
        sum(int(job.total_bytes_processed or 0) for job in (counting, rejecting)),
    )


def bytes_to_read(warehouse: Warehouse, period: Period) -> int:
    """Return the bytes that `streams` would read for a period, by a dry run, which costs nothing."""
    return sum(warehouse.dry_run(warehouse.render(each), _values(period)) for each in (_STREAMS, _REJECTIONS))


def _values(period: Period) -> Parameters:
    return parameters({"start_at": period.start_at, "end_at": period.end_at, "recent_at": period.recent_at})


_Rows = Sequence[Mapping[str, Any]]


def _summary(
    stream: str, counted: _Rows, rejected: _Rows, pointers: Pointers | None, names: Mapping[str, str]
) -> StreamSummary:
    of_stream = [row for row in counted if row["encoder_fingerprint"] is None]
    reasons = {reason: _sum(rejected, "rejections", reason=reason) for reason in {row["reason"] for row in rejected}}
    days = sorted({row["day"] for row in (*of_stream, *rejected)})
    return StreamSummary(
        stream=stream,
        events=_sum(of_stream, "events"),
        recent_events=_sum(of_stream, "recent_events"),
        served_events=_sum(of_stream, "served_events"),
        last_at=_last(of_stream, "last_at"),
        last_logged_at=_last(of_stream, "last_logged_at"),
        rejections=dict(sorted(reasons.items(), key=lambda each: (-each[1], each[0]))),
        recent_rejections=_sum(rejected, "recent_rejections"),
        last_rejected_at=_last(rejected, "last_at"),
        days=tuple(Day(day, _sum(of_stream, "events", day=day), _sum(rejected, "rejections", day=day)) for day in days),
        encoders=_encoders([row for row in counted if row["encoder_fingerprint"] is not None], pointers, names),
    )


def _encoders(counted: _Rows, pointers: Pointers | None, names: Mapping[str, str]) -> tuple[StreamEncoder, ...]:
    roles = pointers.roles if pointers else {}
    written = {row["encoder_fingerprint"]: f"{row['encoder']}@{row['encoder_version']}" for row in counted}
    found = [
        StreamEncoder(
            encoder=name_of(fingerprint, {**names, **written}),
            fingerprint=fingerprint,
            role=roles.get(fingerprint),
            events=_sum(counted, "events", encoder_fingerprint=fingerprint),
            last_at=_last([row for row in counted if row["encoder_fingerprint"] == fingerprint], "last_at"),
        )
        for fingerprint in {*written, *roles}
    ]
    return tuple(sorted(found, key=lambda each: (each.role != "live", -each.events, each.encoder)))


def _sum(rows: _Rows, column: str, **where: object) -> int:
    return sum(row[column] for row in rows if all(row[name] == value for name, value in where.items()))


def _last(rows: _Rows, column: str) -> datetime | None:
    return max((row[column] for row in rows), default=None)

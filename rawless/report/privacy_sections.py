"""The sections of the report on privacy: what each says, and how it is read."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol, TypeVar

from encoders.spec import EncoderSpec
from rawless.datasets.snapshot_tables import PREFIX, VIEW_PREFIX
from rawless.errors import UserError
from rawless.events.stream import Stream, load_stream
from rawless.warehouse.client import Warehouse
from rawless.warehouse.encoder_registry import registered, resolve
from rawless.warehouse.inventory import KeptDataset, tables_with_vectors
from rawless.warehouse.leakage_gate import GatedMetric, gated_metrics
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER, START_OF_EVENTS

R = TypeVar("R")


@dataclass(frozen=True)
class GivenStream:
    """A stream whose file was given."""

    stream: str
    file: str
    encoders: tuple[str, ...]
    gated_metrics: tuple[str, ...]
    """The metrics that its leakage gate limits; none if it has no gate."""
    attribute_bits: float
    id_bits: float
    """How much other information than an id a producer can put into an event's id."""


@dataclass(frozen=True)
class StoredStream:
    """What one encoder has written of one stream."""

    stream: str
    encoder: str
    encoder_fingerprint: str
    deliveries: int
    unknown_callers: int
    """The number of deliveries that a service without access tokens logged."""
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True)
class Sink:
    """A place that a canary searched."""

    sink: str
    status: str
    reason: str | None
    bytes: int
    traces: int


@dataclass(frozen=True)
class CanaryRun:
    """The last canary of a stream."""

    stream: str
    audit_id: str
    audited_at: datetime
    markers: int
    bytes: int
    traces: int
    sinks: tuple[Sink, ...]

    @property
    def not_searched(self) -> tuple[Sink, ...]:
        """The sinks that were not, or only partially, searched."""
        return tuple(sink for sink in self.sinks if sink.status in ("partial", "unreachable"))


@dataclass(frozen=True)
class LeakageMeasure:
    """The last measure of one metric of one attack on an encoder, with its controls."""

    stream: str | None
    encoder: str
    encoder_fingerprint: str
    head: str | None
    """The head that was attacked, as name@version; None if vectors were."""
    attack: str
    metric: str
    value: float
    low: float | None
    high: float | None
    control: float
    """The same attack on random vectors."""
    prior: float | None
    shuffled: float | None
    auxiliary_rows: int
    attacked_rows: int
    audit_id: str
    audited_at: datetime

    @property
    def is_broken(self) -> bool:
        """Return whether the attack finds more in random or shuffled vectors than a guess: then it measures nothing."""
        if self.prior is None:
            return False
        margin = max(0.05, (self.high or self.value) - self.value)
        return max(self.control, self.shuffled or 0.0) > self.prior + margin


@dataclass(frozen=True)
class Waiver:
    """An exception from a leakage limit."""

    waiver_id: str
    stream: str
    encoder: str
    metric: str
    reason: str
    ticket: str
    granted_by: str
    granted_at: datetime
    expires_at: datetime
    in_force: bool


class Access(Protocol):
    """What one account did with one table on one day."""

    @property
    def account(self) -> str:
        """Return the account."""

    @property
    def on_behalf_of(self) -> str | None:
        """Return who acted as that service account, if anyone did."""

    @property
    def table_name(self) -> str:
        """Return dataset and table."""

    @property
    def action(self) -> str:
        """Return `read` or `change`."""

    @property
    def accesses(self) -> int:
        """Return how often."""

    @property
    def first_at(self) -> datetime:
        """Return the first time."""

    @property
    def last_at(self) -> datetime:
        """Return the last time."""

    @property
    def by_person(self) -> bool:
        """Return whether a person did it."""


@dataclass(frozen=True)
class Reader:
    """What one account did with one table in the period."""

    account: str
    on_behalf_of: str | None
    """Who acted as that service account, if anyone did."""
    by_person: bool
    table_name: str
    action: str
    """`read` or `change`."""
    accesses: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True)
class Inspections:
    """How many items an account inspected in the source system."""

    stream: str
    reason: str
    inspected_by: str
    inspections: int
    last_at: datetime


@dataclass(frozen=True)
class Erasure:
    """One erasure."""

    certificate_id: str
    started_at: datetime
    finished_at: datetime | None
    copies_end_at: datetime | None
    """When the last copy in time travel and fail-safe ends."""
    deleted_rows: int
    exports_to_delete: int
    heads_to_retrain: int


@dataclass(frozen=True)
class Export:
    """Files with the rows of a snapshot, which no query can reach."""

    snapshot_id: str
    dataset: str | None
    path: str
    made_at: datetime


@dataclass(frozen=True)
class SideDoor:
    """A way around the tables and commands that keep records."""

    door: str
    where: str
    count: int


def given_stream(file: Path) -> GivenStream:
    """Return what a stream file says. Raises UserError if it is not valid."""
    stream = load_stream(file)
    return GivenStream(
        stream=stream.stream,
        file=str(file),
        encoders=stream.encoders,
        gated_metrics=tuple(sorted(stream.leakage.max)) if stream.leakage else (),
        attribute_bits=stream.attribute_bits,
        id_bits=stream.id_bits,
    )


def stored_streams(warehouse: Warehouse) -> list[StoredStream]:
    """Return the streams that have embeddings."""
    rows = _rows(warehouse, "embedding_event_v1/streams", start_of_events=START_OF_EVENTS)
    return [_of(StoredStream, row, encoder=f"{row['encoder']}@{row['encoder_version']}") for row in rows]


def canaries(warehouse: Warehouse) -> list[CanaryRun]:
    """Return the last canary of each stream."""
    rows = _rows(warehouse, "canary_v1/last_runs")
    return [_canary(stream, list(of_stream)) for stream, of_stream in groupby(rows, lambda row: row["stream"])]


def _canary(stream: str, rows: Sequence[Mapping[str, Any]]) -> CanaryRun:
    return CanaryRun(
        stream=stream,
        audit_id=rows[0]["audit_id"],
        audited_at=max(row["audited_at"] for row in rows),
        markers=max(row["markers"] for row in rows),
        bytes=sum(row["bytes"] for row in rows),
        traces=sum(row["traces"] for row in rows),
        sinks=tuple(sorted((_of(Sink, row) for row in rows), key=_worst_first)),
    )


def _worst_first(sink: Sink) -> tuple[int, bool, str]:
    return -sink.traces, sink.status == "clean", sink.sink


def leakage(warehouse: Warehouse, encoders: Mapping[str, str]) -> list[LeakageMeasure]:
    """Return the last measures of each encoder. `encoders` has the names of some by fingerprint."""
    rows = _rows(warehouse, "leakage_audit_v1/last_measures")
    known = _encoder_names(warehouse, encoders)
    return [_of(LeakageMeasure, row, encoder=_encoder(known, row)) for row in rows]


def gates(warehouse: Warehouse, given: GivenStream, now: datetime) -> list[GatedMetric]:
    """Return the state of each limit of a given stream. Raises UserError if an encoder cannot be found."""
    stream = load_stream(Path(given.file))
    return gated_metrics(warehouse, stream, _specs(warehouse, stream), now) if stream.leakage else []


def _specs(warehouse: Warehouse, stream: Stream) -> dict[str, EncoderSpec]:
    return {ref: resolve(lambda: warehouse, ref) for ref in stream.encoders}


def waivers(warehouse: Warehouse, encoders: Mapping[str, str], now: datetime) -> list[Waiver]:
    """Return all waivers, the one that expires last first."""
    rows = _rows(warehouse, "waiver_v1/granted")
    known = _encoder_names(warehouse, encoders)
    return [_of(Waiver, row, encoder=_encoder(known, row), in_force=row["expires_at"] > now) for row in rows]


def readers(accesses: Iterable[Access]) -> list[Reader]:
    """Return who read and changed tables with embeddings, persons first."""

    def key(access: Access) -> tuple[bool, str, str, str, str]:
        return (
            not access.by_person, access.account, access.on_behalf_of or "", access.table_name, access.action
        )  # fmt: skip

    return [_reader(list(of_one)) for _, of_one in groupby(sorted(accesses, key=key), key)]


def _reader(accesses: Sequence[Access]) -> Reader:
    one = accesses[0]
    return Reader(
        account=one.account,
        on_behalf_of=one.on_behalf_of,
        by_person=one.by_person,
        table_name=one.table_name,
        action=one.action,
        accesses=sum(access.accesses for access in accesses),
        first_at=min(access.first_at for access in accesses),
        last_at=max(access.last_at for access in accesses),
    )


def inspections(warehouse: Warehouse, since: datetime) -> list[Inspections]:
    """Return how many items were inspected since a time."""
    return [_of(Inspections, row) for row in _rows(warehouse, "inspection_v1/counts", since=since)]


def erasures(warehouse: Warehouse) -> list[Erasure]:
    """Return all erasures, the last first."""
    return [_of(Erasure, row) for row in _rows(warehouse, "erasure_v1/certificates")]


def exports(warehouse: Warehouse) -> list[Export]:
    """Return all exports, the last first."""
    return [_of(Export, row) for row in _rows(warehouse, "export_v1/open")]


def side_doors(
    warehouse: Warehouse, streams: Sequence[StoredStream], datasets: Sequence[KeptDataset]
) -> list[SideDoor]:
    """Return the ways around the records that are open."""
    copies = [
        *tables_with_vectors(warehouse, "events", ()),
        *tables_with_vectors(warehouse, "snapshots", (PREFIX, VIEW_PREFIX)),
    ]
    open_services: Counter[str] = Counter()
    for each in streams:
        open_services[each.stream] += each.unknown_callers
    return [
        *(SideDoor("copy of vectors", name, 1) for name in copies),
        *(SideDoor("dataset open to everybody", each.dataset, len(each.open_to)) for each in datasets if each.open_to),
        *(SideDoor("service without access tokens", name, count) for name, count in open_services.items() if count),
    ]


def _encoder_names(warehouse: Warehouse, known: Mapping[str, str]) -> Mapping[str, str]:
    """Return the names of encoders by fingerprint, those that are only registered, too, if they may be read."""
    try:
        return {spec.fingerprint: spec.ref for spec in registered(warehouse)} | dict(known)
    except UserError:
        return known


def _encoder(known: Mapping[str, str], row: Mapping[str, Any]) -> str:
    fingerprint: str = row["encoder_fingerprint"]
    return known.get(fingerprint, fingerprint[:12])


def _rows(warehouse: Warehouse, query: str, **values: Any) -> list[dict[str, Any]]:
    return warehouse.query(warehouse.render(FOLDER / f"{query}.sql"), parameters(values))


def _of(kind: type[R], row: Mapping[str, Any], **others: Any) -> R:
    """Return a row as a dataclass that has a field for each of its columns, or for fewer."""
    columns: Mapping[str, Any] = {**row, **others}
    return kind(**{name: columns[name] for name in kind.__dataclass_fields__})  # type: ignore[attr-defined]

"""Write adapted vectors for the events of a stream whose content is gone: by a Beam job, or by one SQL statement."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from apache_beam.options.pipeline_options import PipelineOptions
from google.cloud import bigquery

from encoders.adapter_map import read_adapter
from encoders.spec import EncoderSpec
from pipelines import options
from pipelines.adapt import Adapt
from pipelines.launch import check_workers
from pipelines.run import run_backfill
from rawless.connect import JOB_TABLES, open_existing_warehouse, open_warehouse
from rawless.datasets import cost
from rawless.errors import UserError
from rawless.job import check_encoder
from rawless.steps.interrupts import stop_on_interrupt
from rawless.warehouse.client import Warehouse
from rawless.warehouse.deliveries import encoders_of
from rawless.warehouse.encoder_registry import resolve
from rawless.warehouse.parameters import parameters
from rawless.warehouse.rows import EmbeddingRow
from rawless.warehouse.spans import EVER, Span
from rawless.warehouse.stream_pointers import refuse_retired
from rawless.warehouse.tables import FOLDER
from rawless.warehouse.unadapted import adapter_of, spans, values

Engine = Literal["beam", "sql"]
MAX_LOCAL_PRODUCTS = 5_000_000
"""Products that the local BigQuery may be asked for: it takes minutes for what a Beam job does in seconds."""
MAX_MATRIX_BYTES = 8_000_000
"""Of the matrix as a parameter: BigQuery takes requests of at most 10 MB."""
_STATEMENTS = FOLDER / "embedding_event_v1"
_IDS = (
    "stream", "event_id", "subject_key", "occurred_at", "logged_at", "origin", "encoder", "encoder_version",
    "encoder_fingerprint", "attributes",
)  # fmt: skip
"""The columns from which a first delivery is found."""


@dataclass(frozen=True)
class BackfillRequest:
    """Which vectors to write, and how."""

    encoder: str
    stream: str
    start_at: datetime = EVER[0]
    end_at: datetime = EVER[1]
    engine: Engine = "beam"
    warehouse: Path | None = None
    beam: Sequence[str] = ()


@dataclass(frozen=True)
class Backfill:
    """A backfill that is ready to run."""

    encoder: EncoderSpec
    stream: str
    spans: tuple[Span, ...]
    read_bytes: int
    """The most that it reads, as BigQuery counts it."""
    written_bytes: int
    engine: Engine
    warehouse: Warehouse
    beam: PipelineOptions
    start_at: datetime
    end_at: datetime

    @property
    def rows(self) -> int:
        """How many rows it is to write."""
        return sum(span.events for span in self.spans)

    @property
    def dollars(self) -> float:
        """The cost of `read_bytes` on demand, in US dollars."""
        return cost.dollars(self.read_bytes)

    def run(self) -> dict[str, Any]:
        """Write the rows that are missing, and return a summary. Ctrl-C makes the Beam job finish what it has read."""
        started = time.monotonic()
        if not self.rows:
            return _summary(0, started)
        if self.engine == "sql":
            return _summary(self._run_statement(), started)
        job = Adapt(self.stream, self.encoder, self.spans, self.warehouse)
        with stop_on_interrupt():
            return run_backfill(job, self.beam, started)

    def _run_statement(self) -> int:
        """Write the rows by one statement, and return their number. Two at a time would write rows twice."""
        weight, bias = _affine(self.encoder)
        adapter, own = adapter_of(self.encoder), self.encoder
        source = encoders_of(self.warehouse, self.stream)[adapter.source]
        given: dict[str, Any] = values(self.stream, own, self.start_at, self.end_at)
        given |= {"source_encoder": source.encoder, "source_version": source.encoder_version}
        given |= {"l2_normalise": adapter.l2_normalise}
        given |= {"encoder": own.name, "encoder_version": own.version, "weights": weight}
        job = self.warehouse.run_in_turn(
            f"{self.warehouse.table_id(EmbeddingRow.TABLE)} {self.stream} {own.fingerprint}",
            self.warehouse.render(_STATEMENTS / "adapt.sql"),
            [*parameters(given), bigquery.ArrayQueryParameter("bias", "FLOAT64", bias)],
        )
        return (job and job.num_dml_affected_rows) or 0


def prepare(request: BackfillRequest) -> Backfill:
    """Return a backfill. Raises UserError if it cannot run as requested, or if the stream has nothing to adapt."""
    beam = options.parse(request.beam)
    check_workers(beam, request.warehouse)
    is_local = options.is_local(beam)
    if is_local or request.warehouse is None:
        warehouse = open_warehouse(request.warehouse)
    else:
        warehouse = open_existing_warehouse(request.warehouse, JOB_TABLES)
    encoder = resolve(lambda: warehouse, request.encoder)
    adapter = adapter_of(encoder)
    if request.engine == "sql":
        _affine(encoder)
    if request.start_at >= request.end_at:
        raise UserError("--from must be before --until, whose day is not included.")
    refuse_retired(warehouse, request.stream, {encoder.ref: encoder})
    check_encoder(warehouse, encoder, "cpu" if is_local else None, registers=is_local)
    deliveries = encoders_of(warehouse, request.stream)
    if adapter.source not in deliveries:
        raise UserError(
            f"No event of {request.stream} has a vector with the fingerprint {adapter.source[:12]}…, from which "
            f"{encoder.ref} maps: check the stream and the encoder."
        )
    found = spans(warehouse, request.stream, encoder, request.start_at, request.end_at)
    products = sum(span.events for span in found) * adapter.full_dimension * adapter.dimension
    if request.engine == "sql" and warehouse.emulator and products > MAX_LOCAL_PRODUCTS:
        raise UserError("The local BigQuery is too slow for so many rows of so many components: use --engine beam.")
    ids = sum(each.deliveries for each in deliveries.values()) * sum(cost.column_bytes(column, 0) for column in _IDS)
    read = 2 * ids + deliveries[adapter.source].deliveries * cost.row_bytes(adapter.full_dimension)
    written = sum(span.events for span in found) * cost.row_bytes(adapter.dimension)
    return Backfill(
        encoder, request.stream, tuple(found), read if found else 0, written, request.engine, warehouse, beam,
        request.start_at, request.end_at,
    )  # fmt: skip


def _affine(encoder: EncoderSpec) -> tuple[list[str], list[float]]:
    """Return the rows of the map's matrix as texts, and its bias. Raises UserError if SQL cannot compute the map."""
    affine = read_adapter(encoder).linear()
    if affine is None:
        raise UserError(
            f"The adapter of {encoder.ref} is of the kind {adapter_of(encoder).kind}, which is no affine map: use "
            "--engine beam."
        )
    weight, bias = affine
    rows = [" ".join(f"{number:.9g}" for number in row) for row in weight.tolist()]  # tells any two float32 apart
    if sum(map(len, rows)) > MAX_MATRIX_BYTES:
        raise UserError(f"The matrix of {encoder.ref} is too large for a parameter of BigQuery: use --engine beam.")
    return rows, bias.tolist()


def _summary(rows: int, started: float) -> dict[str, Any]:
    seconds = time.monotonic() - started
    rate = round(rows / seconds, 1) if rows else 0.0
    counts: dict[str, Any] = {"read": rows, "embeddings": rows, "rejections": {}}
    return {**counts, "seconds": round(seconds, 3), "events_per_second": rate, "stopped": False}

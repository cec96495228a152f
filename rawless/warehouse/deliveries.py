"""Deliveries of the table of embeddings: their ids by a query, their rows in bulk."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.read import embeddings_of, read
from rawless.warehouse.rows import EmbeddingRow
from rawless.warehouse.spans import EVER, Span
from rawless.warehouse.tables import FOLDER

Delivery = tuple[str, str, datetime]
"""Event id, origin and time of logging, which name one delivery of an encoder."""
_COLUMNS = tuple(field.name for field in fields(EmbeddingRow))
_STREAMS = FOLDER / "embedding_event_v1" / "streams.sql"


class StoredEncoder(NamedTuple):
    """An encoder of a stream, with the number of its rows."""

    encoder: str
    encoder_version: str
    deliveries: int

    @property
    def ref(self) -> str:
        """Name and version."""
        return f"{self.encoder}@{self.encoder_version}"


def encoders_of(warehouse: Warehouse, stream: str) -> dict[str, StoredEncoder]:
    """Return the encoders that a stream has rows of, by fingerprint."""
    rows = warehouse.query(warehouse.render(_STREAMS), parameters({"start_of_events": EVER[0]}))
    return {
        row["encoder_fingerprint"]: StoredEncoder(row["encoder"], row["encoder_version"], row["deliveries"])
        for row in rows
        if row["stream"] == stream
    }


def read_deliveries(
    warehouse: Warehouse, stream: str, fingerprint: str, span: Span, wanted: set[Delivery]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of wanted deliveries of an encoder in a span, each once, and remove them from `wanted`.

    `stream` and `fingerprint` must have been validated, since they become part of a condition.
    """
    for batch in read(warehouse, warehouse.table_id(EmbeddingRow.TABLE), _COLUMNS, _rows_of(stream, fingerprint, span)):
        chosen = []
        columns = (batch.column(name).to_pylist() for name in ("event_id", "origin", "logged_at"))
        for place, delivery in enumerate(zip(*columns, strict=True)):
            if delivery in wanted:
                wanted.discard(delivery)  # a delivery that is stored twice is read once
                chosen.append(place)
        if chosen:
            yield batch.take(pa.array(chosen, pa.int64()))


def rows_of(batch: pa.RecordBatch, **changes: Any) -> Iterator[EmbeddingRow]:
    """Yield the rows of a batch with all columns, with changes of their values."""
    vectors = embeddings_of(batch)
    for row, vector in zip(batch.drop_columns(["embedding"]).to_pylist(), vectors, strict=True):
        attributes = tuple((each["key"], each["value"]) for each in row["attributes"] or ())
        yield EmbeddingRow(**{**row, "attributes": attributes, "embedding": np.asarray(vector), **changes})


def _rows_of(stream: str, fingerprint: str, span: Span) -> str:
    return (
        f"stream = '{stream}' AND encoder_fingerprint = '{fingerprint}' "
        f"AND occurred_at >= TIMESTAMP '{span.start_at.astimezone(UTC).isoformat()}' "
        f"AND occurred_at < TIMESTAMP '{span.end_at.astimezone(UTC).isoformat()}'"
    )

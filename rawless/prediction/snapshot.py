"""Predictions for the rows of a snapshot, which has the features that a head may take."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from rawless.connect import open_warehouse
from rawless.datasets import snapshot_tables
from rawless.datasets.snapshots import Manifest, find
from rawless.errors import UserError
from rawless.heads.features import check_features
from rawless.heads.readers import feature_matrix
from rawless.prediction.chosen_head import ChosenHead, Vectors
from rawless.prediction.predict import BATCH_ROWS, open_session, outcomes
from rawless.prediction.request import PredictRequest
from rawless.privacy import Reason
from rawless.serving.rules import Rules
from rawless.warehouse.append import storage_writer
from rawless.warehouse.client import Warehouse
from rawless.warehouse.read import embeddings_of, read
from rawless.warehouse.rows import EmbeddingRow, PredictionRow

_COLUMNS = ("event_id", "logged_at", "embedding", "features")
_OWNERS = ("event_id", "logged_at", "subject_key", "subject_key_id")
Owner = tuple[str | None, str | None]
"""The person whom an event is about, under a pseudonym key, and the id of that key."""


@dataclass
class _Counts:
    read: int = 0
    predictions: int = 0
    refused: int = 0
    left_out: int = 0
    abstentions: Counter[str] = field(default_factory=Counter)


def predict_snapshot(request: PredictRequest, reference: str) -> dict[str, Any]:
    """Write a prediction for each row of a snapshot, and return a summary. Raises UserError if that cannot be done.

    The person of each event is looked up, so that an erasure finds the prediction: a row whose event is gone is left
    out and counted.
    """
    started = time.monotonic()
    if request.beam:
        raise UserError("A snapshot is predicted in this process: leave out the options after --.")
    warehouse = open_warehouse(request.warehouse)
    manifest = find(warehouse, reference)
    if manifest.is_pairs:
        raise UserError(
            f"{manifest.snapshot_id} has pairs of events, and a prediction is of one event: name another snapshot."
        )
    spec = manifest.spec["spec"]
    offered = [Vectors(str(spec["encoder"]), manifest.fingerprint, manifest.space)]
    head = request.choose(offered, has_features=True)
    check_features(head.stored.manifest.features, manifest)
    counts, writer = _Counts(), storage_writer(warehouse)
    for rows in _Predicting(warehouse, request.rules, head, manifest, counts).batches():
        refused = set(writer.append(rows))
        counts.refused += len(refused)
        counts.predictions += len(rows) - len(refused)
        counts.abstentions.update(row.abstention for row in rows if row.abstention)
    seconds = time.monotonic() - started
    return {
        "stream": str(spec["stream"]), "head": head.ref, "encoder": str(spec["encoder"]),
        "snapshot_id": manifest.snapshot_id, "read": counts.read, "predictions": counts.predictions,
        "abstentions": dict(sorted(counts.abstentions.items())), "left_out": counts.left_out,
        "rejections": {Reason.ROW_REFUSED.value: counts.refused} if counts.refused else {},
        "seconds": round(seconds, 3), "events_per_second": round(counts.read / seconds, 1), "stopped": False,
    }  # fmt: skip


@dataclass(frozen=True)
class _Predicting:
    warehouse: Warehouse
    rules: Rules
    head: ChosenHead
    snapshot: Manifest
    counts: _Counts

    @property
    def stream(self) -> str:
        return str(self.snapshot.spec["spec"]["stream"])

    def batches(self) -> Iterator[list[PredictionRow]]:
        """Yield the rows of predictions, some hundred at a time."""
        owners = self._owners()
        table = snapshot_tables.table_id(self.warehouse, self.snapshot.snapshot_id)
        for batch in read(self.warehouse, table, _COLUMNS, ""):
            for offset in range(0, batch.num_rows, BATCH_ROWS):
                if rows := list(self._rows(batch.slice(offset, BATCH_ROWS), owners)):
                    yield rows

    def _rows(self, batch: pa.RecordBatch, owners: dict[tuple[str, datetime], Owner]) -> Iterator[PredictionRow]:
        manifest, session = self.head.stored.manifest, open_session(self.head.stored)
        features = None
        if manifest.features:
            features = feature_matrix(self.snapshot, pa.Table.from_batches([batch]), manifest.features)
        answered = outcomes(session, self.rules, embeddings_of(batch), features)
        self.counts.read += batch.num_rows
        ids, now = zip(*(batch.column(name).to_pylist() for name in _COLUMNS[:2]), strict=True), datetime.now(UTC)
        for (event_id, logged_at), outcome in zip(ids, answered, strict=True):
            if (owner := owners.get((event_id, logged_at))) is None:
                self.counts.left_out += 1
                continue
            yield PredictionRow(
                stream=self.stream, event_id=event_id, subject_key=owner[0], subject_key_id=owner[1], caller_key=None,
                head=manifest.head, version=manifest.version, probabilities=tuple(outcome.probabilities.items()),
                abstention=outcome.abstention, predicted_at=now,
            )  # fmt: skip

    def _owners(self) -> dict[tuple[str, datetime], Owner]:
        """Return the person of each delivery that the snapshot may have a row of."""
        adapted = self.snapshot.adapted
        fingerprints = {self.snapshot.fingerprint, *([adapted.fingerprint] if adapted else [])}
        restriction = (
            f"stream = '{self.stream}' AND occurred_at <= TIMESTAMP '{self.snapshot.as_of.astimezone(UTC).isoformat()}'"
            f" AND encoder_fingerprint IN ({', '.join(map(repr, sorted(fingerprints)))})"
        )
        found: dict[tuple[str, datetime], Owner] = {}
        for batch in read(self.warehouse, self.warehouse.table_id(EmbeddingRow.TABLE), _OWNERS, restriction):
            columns = (batch.column(name).to_pylist() for name in _OWNERS)
            found |= {(event, logged): (key, key_id) for event, logged, key, key_id in zip(*columns, strict=True)}
        return found

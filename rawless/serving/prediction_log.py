"""The opt-in log of requests: rows are written in the background, without slowing down or failing a request."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Literal

from rawless.errors import Unavailable
from rawless.events.event import Event
from rawless.serving.responses import Answer
from rawless.serving.rules import Abstention
from rawless.warehouse.append import StorageWriter
from rawless.warehouse.client import Warehouse
from rawless.warehouse.rows import EmbeddingRow, PredictionRow

LogRow = EmbeddingRow | PredictionRow
Outcome = Literal["written", "dropped", "refused"]
MAX_BATCH_ROWS = 500
MAX_WAIT_SECONDS = 0.5
"""How long a batch waits to be filled."""


def prediction_row(
    event: Event, caller_key: str | None, answer: Answer, abstention: Abstention | None
) -> PredictionRow | None:
    """Return the row of an answer, without probabilities for an abstention; None for a number, which has no column."""
    if answer.probabilities is None:
        return None
    probabilities = {} if abstention else answer.probabilities
    return PredictionRow(
        stream=event.stream,
        event_id=event.event_id,
        subject_key=event.subject_key,
        subject_key_id=event.subject_key_id,
        caller_key=caller_key,
        head=answer.model.head,
        version=answer.model.version,
        probabilities=tuple(probabilities.items()),
        abstention=abstention.value if abstention else None,
        predicted_at=datetime.now(UTC),
    )


class PredictionLog:
    """A bounded queue of rows, and a thread that appends them to their tables."""

    def __init__(self, warehouse: Warehouse, max_rows: int, on_outcome: Callable[[str, Outcome, int], None]) -> None:
        """Start the thread. At most `max_rows` rows wait. `on_outcome` takes table, outcome and number of rows."""
        self._appender, self._retry_seconds = StorageWriter(warehouse), warehouse.retry_seconds
        self._queue: queue.Queue[LogRow] = queue.Queue(max_rows)
        self._on_outcome = on_outcome
        self._closing = threading.Event()
        self._deadline = float("inf")
        self._dropped = self._in_progress = 0
        self._thread = threading.Thread(target=self._write_batches, name="prediction-log", daemon=True)
        self._thread.start()

    def put(self, row: LogRow) -> None:
        """Add a row without waiting; if the queue is full, drop and count it."""
        try:
            self._queue.put_nowait(row)
        except queue.Full:
            self._drop([row])

    def close(self, seconds: float) -> int:
        """Write the waiting rows for at most about `seconds`, and return how many rows were lost since the start.

        No row may be put afterwards.
        """
        self._deadline = time.monotonic() + seconds
        self._closing.set()
        self._thread.join(seconds + self._retry_seconds)
        return self._dropped + self._in_progress + self._queue.qsize()

    def _write_batches(self) -> None:
        while not (self._closing.is_set() and self._queue.empty()):
            rows = self._next_batch()
            self._in_progress = len(rows)
            for table in (EmbeddingRow.TABLE, PredictionRow.TABLE):
                self._append(table, [row for row in rows if table == row.TABLE])

    def _next_batch(self) -> list[LogRow]:
        """Return the rows that arrive within the waiting time, up to a full batch."""
        rows: list[LogRow] = []
        ends_at = time.monotonic() + MAX_WAIT_SECONDS
        while len(rows) < MAX_BATCH_ROWS:
            seconds_left = 0.0 if self._closing.is_set() else max(0.0, ends_at - time.monotonic())
            try:
                rows.append(self._queue.get(timeout=seconds_left) if seconds_left else self._queue.get_nowait())
            except queue.Empty:
                break
        return rows

    def _append(self, table: str, rows: Sequence[LogRow]) -> None:
        while rows:
            try:
                refused = len(self._appender.append(rows))
            except Unavailable:  # after the appender's own retries; meanwhile the queue fills, and then drops rows
                if time.monotonic() < self._deadline:
                    continue
                self._in_progress -= len(rows)
                self._drop(rows)
                return
            except Exception:  # noqa: BLE001 - the thread must go on with the next rows
                refused = len(rows)
            self._on_outcome(table, "refused", refused)
            self._on_outcome(table, "written", len(rows) - refused)
            self._in_progress -= len(rows)
            return

    def _drop(self, rows: Sequence[LogRow]) -> None:
        self._dropped += len(rows)
        for row in rows:
            self._on_outcome(row.TABLE, "dropped", 1)

"""The opt-in log: rows of what was served, written in the background. It never slows or fails a request."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal

from rawless.errors import Unavailable
from rawless.warehouse.append import Appender
from rawless.warehouse.client import Warehouse
from rawless.warehouse.rows import EmbeddingRow, PredictionRow

Logged = EmbeddingRow | PredictionRow
Outcome = Literal["written", "dropped", "refused"]
MAX_ROWS = 500
"""Of one append."""
WAIT_SECONDS = 0.5
"""Rows wait no longer than this for others."""


class PredictionLog:
    """A bounded queue of rows, and the thread that writes them through the writer that jobs use."""

    def __init__(self, warehouse: Warehouse, most: int, told: Callable[[str, Outcome, int], None]) -> None:
        """At most `most` rows wait. `told` learns of a table what became of how many rows."""
        self._appender, self._retry_seconds = Appender(warehouse), warehouse.retry_seconds
        self._queue: queue.Queue[Logged] = queue.Queue(most)
        self._told = told
        self._closing = threading.Event()
        self._deadline = float("inf")
        self._lost = self._in_hand = 0
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def put(self, row: Logged) -> None:
        """Take a row; when too many wait already, it is dropped and counted."""
        try:
            self._queue.put_nowait(row)
        except queue.Full:
            self._drop([row])

    def close(self, seconds: float) -> int:
        """Write what waits, for about so long at most; says how many rows were lost since the start. Put no more."""
        self._deadline = time.monotonic() + seconds
        self._closing.set()
        self._thread.join(seconds + self._retry_seconds)
        return self._lost + self._in_hand + self._queue.qsize()

    def _work(self) -> None:
        while not (self._closing.is_set() and self._queue.empty()):
            rows = self._taken(WAIT_SECONDS)
            self._in_hand = len(rows)
            self._write(rows)

    def _taken(self, wait: float = 0.0) -> list[Logged]:
        """Up to a batch of rows, those that come within the wait."""
        rows: list[Logged] = []
        until = time.monotonic() + wait
        while len(rows) < MAX_ROWS:
            left = 0.0 if self._closing.is_set() else max(0.0, until - time.monotonic())
            try:
                rows.append(self._queue.get(timeout=left) if left else self._queue.get_nowait())
            except queue.Empty:
                break
        return rows

    def _write(self, rows: Sequence[Logged]) -> None:
        for table in (EmbeddingRow.TABLE, PredictionRow.TABLE):
            self._append(table, [row for row in rows if table == row.TABLE])

    def _append(self, table: str, rows: Sequence[Logged]) -> None:
        while rows:
            try:
                refused = len(self._appender.append(rows))
            except Unavailable:  # it was retried; the queue fills meanwhile, and what it cannot hold is dropped
                if time.monotonic() < self._deadline:
                    continue
                self._in_hand -= len(rows)
                self._drop(rows)
                return
            except Exception:  # noqa: BLE001 - whatever it is, the next rows are to be written
                refused = len(rows)
            self._told(table, "refused", refused)
            self._told(table, "written", len(rows) - refused)
            self._in_hand -= len(rows)
            return

    def _drop(self, rows: Sequence[Logged]) -> None:
        self._lost += len(rows)
        for row in rows:
            self._told(row.TABLE, "dropped", 1)

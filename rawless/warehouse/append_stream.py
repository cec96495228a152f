"""`AppendStream`: long-lived connections to a table's default stream, which the rows of all threads of a process share.

To open a connection takes BigQuery a quarter of a second and more, and each of a worker's threads has few rows at a
time. So rows that wait are merged into one request, for which few rows wait a little, and a request is sent before
those before it are answered.
"""

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import grpc
from google.api_core import exceptions
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient, types

from rawless.metering import table as metrics
from rawless.warehouse.rows import Row, arrow_schema_bytes, is_valid, to_arrow

MAX_REQUEST_BYTES = 8_000_000
"""The API accepts 10 MB, which includes the envelope."""
MAX_CONNECTIONS = 4
"""Another connection is opened while more than a full request waits."""
MAX_IN_FLIGHT = 8
"""Requests of a connection that are not answered yet."""
MERGED_ROWS = 32
"""So many rows do not wait for others to share a request, which costs a process as much as they do."""
MERGE_SECONDS = 0.04
"""How long fewer rows wait for others, after a request that several callers shared."""
IDLE_SECONDS = 10.0
"""A connection without rows is closed after this time."""
RESPONSE_SECONDS = 30.0
"""A connection that owes a response and sends none in this time is given up, and another is opened."""
CHECK_SECONDS = 1.0
"""How often a caller that waits looks for such connections."""
_FIRST_DELAY, _LONGEST_DELAY = 0.2, 10.0
_MOST_FAILURES = 10
"""After which the delay is the longest one."""
_TRANSIENT = (
    exceptions.ServiceUnavailable,
    exceptions.InternalServerError,
    exceptions.DeadlineExceeded,
    exceptions.Aborted,
    exceptions.Cancelled,
    exceptions.ResourceExhausted,
    exceptions.TooManyRequests,
    exceptions.Unknown,
)
_OF_ONE_REQUEST = (exceptions.InvalidArgument, exceptions.FailedPrecondition)
"""Errors that the rows of one caller may cause, which must not fail those of others in the same request."""


@dataclass(eq=False, slots=True)
class _Append:
    """The rows of one call that are not yet written."""

    rows: Sequence[Row]
    positions: list[int]
    """Where the rows were in the call."""
    deadline: float
    size: int
    """Bytes of the rows in a request, at least, when they were submitted."""
    refused: list[int] = field(default_factory=list)
    alone: bool = False
    """Whether the rows must not share a request, because one with them was refused as a whole."""
    outcome: "Future[list[int]]" = field(default_factory=Future)

    def invalid(self) -> set[int]:
        """Return the indexes of the rows that BigQuery does not accept."""
        return {index for index, row in enumerate(self.rows) if not _is_valid(row)}

    def without(self, refused: set[int]) -> bool:
        """Leave out the rows at these indexes, and return whether any row is left."""
        self.refused += [self.positions[index] for index in refused]
        left = [index for index in range(len(self.positions)) if index not in refused]
        self.positions = [self.positions[index] for index in left]
        self.rows = [self.rows[index] for index in left]
        return bool(left)


@dataclass(eq=False)
class _Connection:
    """One call of AppendRows, and its requests that are not answered yet, in order. It is not used for another call.

    The requests of a call are taken in a thread of gRPC's, which may not know yet that the call has ended.
    """

    in_flight: "deque[list[_Append]]" = field(default_factory=deque)
    sent_at: deque[float] = field(default_factory=deque)
    call: Any = None
    is_open: bool = True
    merge_until: float = 0.0
    """Until when few rows wait for others."""
    owed_since: float = 0.0
    """When the warehouse last responded or, after that, first had to: to a request, or to the end of the requests."""

    def add(self, appends: list[_Append]) -> None:
        """Add a request."""
        now = time.monotonic()
        if not self.in_flight:
            self.owed_since = now
        self.in_flight.append(appends)
        self.sent_at.append(now)
        # Rows of one caller have nothing to wait for: its next ones may come only when these are written.
        self.merge_until = now + MERGE_SECONDS if len(appends) > 1 else 0.0

    def close(self) -> None:
        """Take no more requests."""
        self.is_open, self.owed_since = False, time.monotonic()

    def cancel_if_stalled(self) -> None:
        """Cancel the call if the warehouse has owed a response for too long."""
        is_owed = self.in_flight or not self.is_open
        if is_owed and self.call and time.monotonic() - self.owed_since > RESPONSE_SECONDS:
            self.call.cancel()


class AppendStream:
    """Appends record batches to the default stream of one table, in few connections, from any number of threads."""

    def __init__(self, client: BigQueryWriteClient, name: str, retry_seconds: float) -> None:
        """Prepare the stream; the first rows open a connection. `name` is the resource name of the default stream."""
        self._client, self._name, self._retry_seconds = client, name, retry_seconds
        self._changed = threading.Condition()
        self._waiting: deque[_Append] = deque()
        self._connections: set[_Connection] = set()
        self._failures = 0
        """Consecutive failures, since the last response, as far as they are counted."""
        self._last_failure: Exception = exceptions.DeadlineExceeded("no response")
        self._table = name.partition("/tables/")[2].partition("/")[0]
        metrics.QUEUE_ITEMS.watch(self, _waiting_rows, "", "append")
        metrics.QUEUE_OLDEST.watch(self, _oldest, "", "append")
        metrics.APPEND_CONNECTIONS.watch(self, _connections, self._table)

    def submit(self, rows: Sequence[Row], positions: list[int], size: int) -> "Future[list[int]]":
        """Append rows of `size` bytes, which fit into a request, in the background. `positions` are names of the rows.

        The result is the positions of the rows that were refused; the others are in the table. It may also be an error
        of Google's client: a transient one after `retry_seconds`, a permanent one at once.
        """
        append = _Append(rows, positions, time.monotonic() + self._retry_seconds, size)
        with self._changed:
            self._waiting.append(append)
            if not self._connections or (
                len(self._connections) < MAX_CONNECTIONS and _size(self._waiting) > MAX_REQUEST_BYTES
            ):
                connection = _Connection()
                threading.Thread(target=self._run, args=(connection,), name="append", daemon=True).start()
                self._connections.add(connection)
            if self._may_send(*self._connections):
                self._changed.notify_all()
        return append.outcome

    def wait(self, outcome: "Future[list[int]]") -> list[int]:
        """Return the result of `submit`, or raise its error, in any case within a limited time."""
        limit = time.monotonic() + self._retry_seconds + 2 * RESPONSE_SECONDS
        while time.monotonic() < limit:
            try:
                error = outcome.exception(timeout=CHECK_SECONDS)
            except TimeoutError:
                with self._changed:
                    for connection in self._connections:
                        connection.cancel_if_stalled()
                continue
            if error is None:
                return outcome.result()
            raise _of_one_caller(error)
        raise _of_one_caller(self._last_failure)

    def _run(self, connection: _Connection) -> None:
        """Append rows in one connection after the other, each opened in place of the one before, while rows come."""
        while (opened := self._opened(connection)) is not None:
            connection = opened
            error = self._exchange(connection)
            with self._changed:
                connection.close()
                unsure = [append for sent in connection.in_flight for append in sent]
                first = len(connection.in_flight[0]) if connection.in_flight else 0
                self._changed.notify_all()
            if unsure and error is None:
                error = exceptions.Aborted("the stream ended without a response")
            if error is not None:
                self._fail(error, unsure, first)

    def _opened(self, before: _Connection) -> _Connection | None:
        """Return a connection in place of another, after the delay that failures need, or None when no rows wait."""
        with self._changed:
            delay = min(_FIRST_DELAY * 2 ** (self._failures - 1), _LONGEST_DELAY) if self._failures else 0.0
            self._changed.wait_for(lambda: False, timeout=delay)
            self._connections.discard(before)
            if not self._waiting:
                return None
            connection = _Connection()
            self._connections.add(connection)
            return connection

    def _exchange(self, connection: _Connection) -> Exception | None:
        """Send requests and settle their responses until the call ends. Returns the error that ended it, if any did."""
        # BigQuery finds the dataset's region by this header, which the client does not set for a stream of requests.
        routing = ("x-goog-request-params", f"write_stream={quote(self._name, safe='')}")
        ended: Exception | None = None
        try:
            # The client's method waits for the first response before it returns the call, so it could not be cancelled.
            connection.call = self._client.transport.append_rows(self._requests(connection), metadata=[routing])
            metrics.APPEND_OPENED.add(1, self._table)
            for response in connection.call:
                error = _error(response)
                if isinstance(error, _TRANSIENT):
                    ended = error
                    break
                with self._changed:
                    sent, sent_at = connection.in_flight.popleft(), connection.sent_at.popleft()
                    connection.owed_since, self._failures = time.monotonic(), 0
                    self._changed.notify_all()
                metrics.APPEND.observe(time.monotonic() - sent_at, self._table)
                metrics.APPEND_ROWS.observe(sum(len(append.positions) for append in sent), self._table)
                self._settle(sent, response, error)
        except grpc.RpcError as failure:
            ended = exceptions.from_grpc_error(failure)
        except Exception as failure:  # noqa: BLE001 - whatever it is, callers wait for an answer
            ended = exceptions.Unknown(type(failure).__name__)
        finally:
            if connection.call is not None:
                connection.call.cancel()
        return ended

    def _requests(self, connection: _Connection) -> Iterator[types.AppendRowsRequest]:
        """Yield requests of the rows that wait, until the connection is closed or idle."""
        while True:
            with self._changed:
                merging = connection.merge_until - time.monotonic()
                ready = self._changed.wait_for(
                    lambda: not connection.is_open or self._may_send(connection),
                    timeout=merging if merging > 0 else IDLE_SECONDS,
                )
                if not ready and merging <= 0 and not connection.in_flight:
                    connection.close()
                if not connection.is_open:
                    return
                if not ready:
                    continue
                appends = self._take()
                connection.add(appends)
            # Outside of the lock, and for all rows together, which takes less time than in the threads of the callers.
            if invalid := [(append, indexes) for append in appends if (indexes := append.invalid())]:
                self._leave_out(connection, invalid)
            if (request := _request(self._name, appends)) is not None:
                yield request
            else:
                self._set_apart(connection, appends)

    def _may_send(self, *connections: _Connection) -> bool:
        """Return whether a connection may send rows that wait, which need not wait for others to share a request."""
        free = [connection for connection in connections if len(connection.in_flight) < MAX_IN_FLIGHT]
        if not free or not self._waiting:
            return False
        if sum(len(each.rows) for each in self._waiting) >= MERGED_ROWS:
            return True
        return time.monotonic() >= min(connection.merge_until for connection in free)

    def _leave_out(self, connection: _Connection, invalid: list[tuple[_Append, set[int]]]) -> None:
        """Refuse rows of a request that is not sent yet."""
        with self._changed:
            if connection.is_open:  # otherwise they wait already, and may be in the hands of another connection
                for append, indexes in invalid:
                    append.without(indexes)

    def _set_apart(self, connection: _Connection, appends: list[_Append]) -> None:
        """Settle a request that cannot be sent: callers that have no row left get their result.

        Rows that cannot be converted together wait again, and get the error if they were alone.
        """
        with self._changed:
            if not connection.is_open:  # they wait already
                return
            connection.in_flight.pop()
            connection.sent_at.pop()
        left = [append for append in appends if append.rows]
        for append in appends:
            if not append.rows:
                append.outcome.set_result(append.refused)
        if len(left) == 1:
            left[0].outcome.set_exception(exceptions.InvalidArgument("rows do not fit the table"))
            return
        for append in left:
            append.alone = True
        self._wait_again(left)

    def _take(self) -> list[_Append]:
        """Take the oldest rows that wait, as many as fit into a request."""
        taken = [self._waiting.popleft()]
        size = taken[0].size
        while self._waiting and not taken[0].alone and not self._waiting[0].alone:
            size += self._waiting[0].size
            if size > MAX_REQUEST_BYTES:
                break
            taken.append(self._waiting.popleft())
        return taken

    def _settle(self, sent: list[_Append], response: types.AppendRowsResponse, error: Exception | None) -> None:
        """Give each caller its result. A request with a refused row was not written, so its other rows wait again."""
        if not response.row_errors:
            if error is not None:
                self._fail(error, sent, len(sent))
                return
            for append in sent:
                append.outcome.set_result(append.refused)
            return
        refused, start, again = {int(error.index) for error in response.row_errors}, 0, []
        for append in sent:
            end = start + len(append.positions)
            if append.without({index - start for index in refused if start <= index < end}):
                again.append(append)
            else:
                append.outcome.set_result(append.refused)
            start = end
        self._wait_again(again)

    def _fail(self, error: Exception, unsure: list[_Append], first: int) -> None:
        """Let rows wait again after an error that may pass, and fail their callers after any other.

        `first` of the rows were in the oldest request, which is the one that caused an error of a request.
        """
        again: list[_Append] = []
        for number, append in enumerate(unsure):
            if isinstance(error, _OF_ONE_REQUEST) and (number >= first or first > 1):
                append.alone = append.alone or number < first
                again.append(append)
            elif isinstance(error, _TRANSIENT) and time.monotonic() < append.deadline:
                again.append(append)
            else:
                append.outcome.set_exception(error)
        if isinstance(error, _TRANSIENT):
            with self._changed:
                self._last_failure = error
                self._failures = min(self._failures + 1, _MOST_FAILURES)
        self._wait_again(again)

    def _wait_again(self, appends: list[_Append]) -> None:
        if appends:
            metrics.APPEND_RETRIES.add(sum(len(append.positions) for append in appends), self._table)
        with self._changed:
            self._waiting.extendleft(reversed(appends))
            self._changed.notify_all()


def _waiting_rows(stream: AppendStream) -> int:
    with stream._changed:
        return sum(len(append.positions) for append in stream._waiting)


def _oldest(stream: AppendStream) -> float:
    with stream._changed:
        submitted = min((append.deadline for append in stream._waiting), default=None)
    return 0.0 if submitted is None else time.monotonic() + stream._retry_seconds - submitted


def _connections(stream: AppendStream) -> int:
    return len(stream._connections)


def _size(waiting: Iterable[_Append]) -> int:
    return sum(append.size for append in waiting)


def _error(response: types.AppendRowsResponse) -> Exception | None:
    """Return the error of a request, None if it was written or only some of its rows were refused."""
    if response.row_errors or not response.error.code:
        return None
    error: Exception = exceptions.from_grpc_status(response.error.code, "append refused")
    return error


def _is_valid(row: Row) -> bool:
    try:
        return is_valid(row)
    except Exception:  # noqa: BLE001 - of a value of a wrong type, which must not fail the rows of others
        return False


def _of_one_caller(error: BaseException) -> BaseException:
    """Return an error of this kind for one caller: as long as one exists, it keeps the frames that it has passed."""
    return type(error)("rows were not appended")


def _request(stream: str, appends: list[_Append]) -> types.AppendRowsRequest | None:
    """Return the request of rows, None if there are none or they cannot be converted."""
    rows = [row for append in appends for row in append.rows]
    try:
        batch = to_arrow(rows)
    except Exception:  # noqa: BLE001 - whatever it is, callers wait for an answer
        return None
    # The messages of the protocol itself, since Google's wrappers of them take longer than all else here.
    request = types.AppendRowsRequest.pb()(write_stream=stream)
    request.arrow_rows.writer_schema.serialized_schema = arrow_schema_bytes(rows[0].TABLE)
    request.arrow_rows.rows.serialized_record_batch = batch.serialize().to_pybytes()
    return types.AppendRowsRequest.wrap(request)

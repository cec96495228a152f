"""Appends through the Storage Write API: Arrow rows on the default stream, at least once."""

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import quote

import grpc
import pyarrow as pa
from google.api_core import exceptions
from google.api_core.retry import Retry
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient, types
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport

from rawless.errors import Unavailable, UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.rows import Row, fits, to_arrow

MAX_REQUEST_BYTES = 8_000_000
"""The API takes 10 MB with its envelope."""
_TRANSIENT = (
    exceptions.ServiceUnavailable,
    exceptions.InternalServerError,
    exceptions.DeadlineExceeded,
    exceptions.Aborted,
    exceptions.Cancelled,
    exceptions.ResourceExhausted,
    exceptions.TooManyRequests,
    exceptions.Unknown,
    ConnectionError,
)


class StorageWriter:
    """Appends rows to the tables of one warehouse."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    @cached_property
    def _client(self) -> BigQueryWriteClient:
        emulator = self._warehouse.emulator
        if emulator is None:
            return BigQueryWriteClient()
        channel = grpc.insecure_channel(emulator.grpc, options=[("grpc.max_receive_message_length", -1)])
        return BigQueryWriteClient(transport=BigQueryWriteGrpcTransport(channel=channel))

    def append(self, rows: Sequence[Row]) -> list[int]:
        """Append rows of one type; returns the positions of those that the warehouse refuses, in order.

        All others are in the table when this returns. A transient fault is retried with backoff, so a row may
        come twice. Raises Unavailable when the warehouse stays away, UserError when the table is not there.
        """
        good = [position for position, row in enumerate(rows) if fits(row)]
        refused = set(range(len(rows))) - set(good)
        for part, batch in _parts(rows, good):
            while bad := self._append(rows[0].TABLE, batch):
                refused |= {part[index] for index in bad}
                # A request with a bad row is refused whole: its good rows go again.
                part = [position for index, position in enumerate(part) if index not in bad]
                if not part:
                    break
                batch = to_arrow([rows[position] for position in part])
        return sorted(refused)

    def _append(self, name: str, batch: pa.RecordBatch) -> set[int]:
        """One request; returns the positions in `batch` that were refused, empty when all were taken."""
        retry = Retry(
            predicate=lambda error: isinstance(error, _TRANSIENT),
            initial=0.2,
            maximum=10.0,
            timeout=self._warehouse.retry_seconds,
        )
        try:
            refused: set[int] = retry(self._request)(name, batch)
            return refused
        except (exceptions.NotFound, exceptions.PermissionDenied) as error:
            raise UserError(
                f"The table {self._warehouse.table_id(name)} takes no rows ({type(error).__name__}): check that it "
                "exists and that this account may write to it."
            ) from None
        except (exceptions.InvalidArgument, exceptions.FailedPrecondition, exceptions.Unauthenticated) as error:
            raise UserError(
                f"BigQuery refused rows for {self._warehouse.table_id(name)} ({type(error).__name__}): hold the live "
                f"table against sql/{name}/schema.yaml, and check the credentials."
            ) from None
        except (exceptions.GoogleAPIError, ConnectionError) as error:
            raise Unavailable(
                f"The warehouse took no rows for {self._warehouse.retry_seconds:.0f} seconds ({type(error).__name__}). "
                "Nothing was dropped: run the same command again when it is back."
            ) from None

    def _request(self, name: str, batch: pa.RecordBatch) -> set[int]:
        stream = self._stream(name)
        request = types.AppendRowsRequest(write_stream=stream, arrow_rows=_arrow(batch))
        # BigQuery finds the dataset's region by this header; the client sets none for a stream of requests.
        route = ("x-goog-request-params", f"write_stream={quote(stream, safe='')}")
        refused: set[int] = set()
        answered = False
        # No retry of the client's own: it would go on for a day, with a request that is used up.
        for response in self._client.append_rows(iter([request]), retry=None, timeout=30.0, metadata=[route]):
            refused |= _refused(response)
            answered = True
        if not answered:
            raise exceptions.ServiceUnavailable("the stream ended without an answer")
        return refused

    def _stream(self, name: str) -> str:
        project, dataset, _ = self._warehouse.table_id(name).rsplit(".", 2)
        return f"projects/{project}/datasets/{dataset}/tables/{name}/streams/_default"


@lru_cache(maxsize=8)
def appender(warehouse: Warehouse) -> StorageWriter:
    """One appender a process: some runners make their steps anew for every few events."""
    return StorageWriter(warehouse)


def _parts(rows: Sequence[Row], positions: list[int]) -> Iterator[tuple[list[int], pa.RecordBatch]]:
    """The positions in parts that fit into a request each, with their rows."""
    if not positions:
        return
    batch = to_arrow([rows[each] for each in positions])
    if len(positions) == 1 or batch.nbytes <= MAX_REQUEST_BYTES:
        yield positions, batch
        return
    middle = len(positions) // 2
    yield from _parts(rows, positions[:middle])
    yield from _parts(rows, positions[middle:])


def _refused(response: Any) -> set[int]:
    """The rows that a response names. Its texts may quote values of rows, so they go no further."""
    if response.row_errors:
        return {int(error.index) for error in response.row_errors}
    if response.error.code:
        raise exceptions.from_grpc_status(grpc_code(response.error.code), "append refused")
    return set()


def grpc_code(number: int) -> grpc.StatusCode:
    """The status code of a number."""
    return next(code for code in grpc.StatusCode if code.value[0] == number)


def _arrow(batch: pa.RecordBatch) -> types.AppendRowsRequest.ArrowData:
    return types.AppendRowsRequest.ArrowData(
        writer_schema=types.ArrowSchema(serialized_schema=batch.schema.serialize().to_pybytes()),
        rows=types.ArrowRecordBatch(serialized_record_batch=batch.serialize().to_pybytes()),
    )


def append_all(warehouse: Warehouse, rows: Sequence[Row]) -> None:
    """Append rows of ours that must all be taken, such as an encoder's. Raises UserError when one is refused."""
    if rows and StorageWriter(warehouse).append(rows):
        raise UserError(f"The table {rows[0].TABLE} refused a row: compare it with sql/{rows[0].TABLE}/schema.yaml.")

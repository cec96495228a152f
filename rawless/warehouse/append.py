"""Write rows through the Storage Write API: Arrow batches on the default stream, at least once."""

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

from rawless.bearer import open_channel
from rawless.errors import Unavailable, UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.rows import Row, is_valid, to_arrow

MAX_REQUEST_BYTES = 8_000_000
"""The API accepts 10 MB, which includes the envelope."""
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
    """Appends rows to the tables of one warehouse. Connects at the first append."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    @cached_property
    def _client(self) -> BigQueryWriteClient:
        emulator = self._warehouse.emulator
        if emulator is None:
            return BigQueryWriteClient()
        channel = open_channel(emulator.grpc, emulator.token)
        return BigQueryWriteClient(transport=BigQueryWriteGrpcTransport(channel=channel))

    def append(self, rows: Sequence[Row]) -> list[int]:
        """Append rows of one type, and return the positions of those that the warehouse refuses, in order.

        All others are in the table when this returns. Transient errors are retried with backoff, so a row may be
        written twice. Raises Unavailable when the warehouse does not answer, UserError when the table does not exist.
        """
        valid = [position for position, row in enumerate(rows) if is_valid(row)]
        refused = set(range(len(rows))) - set(valid)
        for part, batch in _parts(rows, valid):
            while refused_here := self._append(rows[0].TABLE, batch):
                refused |= {part[index] for index in refused_here}
                # A request with an invalid row is refused as a whole, so its other rows are sent again.
                part = [position for index, position in enumerate(part) if index not in refused_here]
                if not part:
                    break
                batch = to_arrow([rows[position] for position in part])
        return sorted(refused)

    def _append(self, name: str, batch: pa.RecordBatch) -> set[int]:
        """Send one request, and return the positions in `batch` that were refused, empty if none was."""
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
                f"The table {self._warehouse.table_id(name)} cannot be written ({type(error).__name__}): check that it "
                "exists and that this account may write to it."
            ) from None
        except (exceptions.InvalidArgument, exceptions.FailedPrecondition, exceptions.Unauthenticated) as error:
            raise UserError(
                f"BigQuery refused rows for {self._warehouse.table_id(name)} ({type(error).__name__}): compare the "
                f"table with sql/{name}/schema.yaml, and check the credentials."
            ) from None
        except (exceptions.GoogleAPIError, ConnectionError) as error:
            raise Unavailable(
                f"The warehouse accepted no rows for {self._warehouse.retry_seconds:.0f} seconds "
                f"({type(error).__name__}). Nothing was lost; run the same command again when it is available."
            ) from None

    def _request(self, name: str, batch: pa.RecordBatch) -> set[int]:
        stream = self._stream(name)
        request = types.AppendRowsRequest(write_stream=stream, arrow_rows=_arrow(batch))
        # BigQuery finds the dataset's region by this header, which the client does not set for a stream of requests.
        routing_header = ("x-goog-request-params", f"write_stream={quote(stream, safe='')}")
        refused: set[int] = set()
        has_response = False
        # The client's own retry would go on for a day, with an iterator of requests that is exhausted.
        for response in self._client.append_rows(iter([request]), retry=None, timeout=30.0, metadata=[routing_header]):
            refused |= _refused(response)
            has_response = True
        if not has_response:
            raise exceptions.ServiceUnavailable("the stream ended without a response")
        return refused

    def _stream(self, name: str) -> str:
        project, dataset, _ = self._warehouse.table_id(name).rsplit(".", 2)
        return f"projects/{project}/datasets/{dataset}/tables/{name}/streams/_default"


@lru_cache(maxsize=8)
def storage_writer(warehouse: Warehouse) -> StorageWriter:
    """Return the process's writer for a warehouse: some runners create their steps again for every few events."""
    return StorageWriter(warehouse)


def _parts(rows: Sequence[Row], positions: list[int]) -> Iterator[tuple[list[int], pa.RecordBatch]]:
    """Divide positions into parts that fit into one request each, and yield each part with its rows."""
    if not positions:
        return
    batch = to_arrow([rows[position] for position in positions])
    if len(positions) == 1 or batch.nbytes <= MAX_REQUEST_BYTES:
        yield positions, batch
        return
    middle = len(positions) // 2
    yield from _parts(rows, positions[:middle])
    yield from _parts(rows, positions[middle:])


def _refused(response: Any) -> set[int]:
    """Return the rows that a response refuses. Its texts may quote values of rows, so they are not used."""
    if response.row_errors:
        return {int(error.index) for error in response.row_errors}
    if response.error.code:
        raise exceptions.from_grpc_status(grpc_code(response.error.code), "append refused")
    return set()


def grpc_code(number: int) -> grpc.StatusCode:
    """Return the status code with a number."""
    return next(code for code in grpc.StatusCode if code.value[0] == number)


def _arrow(batch: pa.RecordBatch) -> types.AppendRowsRequest.ArrowData:
    return types.AppendRowsRequest.ArrowData(
        writer_schema=types.ArrowSchema(serialized_schema=batch.schema.serialize().to_pybytes()),
        rows=types.ArrowRecordBatch(serialized_record_batch=batch.serialize().to_pybytes()),
    )


def append_all(warehouse: Warehouse, rows: Sequence[Row]) -> None:
    """Append rows that must all be accepted, such as an encoder's. Raises UserError when one is refused."""
    if rows and StorageWriter(warehouse).append(rows):
        raise UserError(f"The table {rows[0].TABLE} refused a row: compare it with sql/{rows[0].TABLE}/schema.yaml.")

"""Read rows in bulk through the Storage Read API, as Arrow batches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from google.api_core import exceptions
from google.api_core.retry import Retry
from google.auth.exceptions import GoogleAuthError
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, types
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

from rawless.bearer import open_channel
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse, unavailable

CREATE_SECONDS = 600.0
_REFUSALS = (exceptions.NotFound, exceptions.Forbidden, exceptions.BadRequest, exceptions.Unauthorized)


def read(warehouse: Warehouse, table_id: str, columns: Sequence[str], restriction: str) -> Iterator[pa.RecordBatch]:
    """Yield columns of the rows for which `restriction` is true, as of the time when the first batch is requested.

    The order is not defined. A batch is at most some megabytes, and one is in memory at a time. `restriction` is SQL
    without parameters, so it may contain validated values only. Raises UserError when the table cannot be read,
    Unavailable when BigQuery does not answer.
    """
    with connected(warehouse, unreadable(table_id)) as (client, retry):
        for name in open_streams(client, table_id, columns, retry, restriction):
            yield from batches(client, name, retry)


def unreadable(table_id: str) -> str:
    """Return the sentence about a table that BigQuery refuses to read, with a place for the kind of the error."""
    return f"The table {table_id} cannot be read ({{}}): check that it exists and that this account may read it."


@contextmanager
def connected(warehouse: Warehouse, refusal: str) -> Iterator[tuple[BigQueryReadClient, Retry]]:
    """Yield a client, and raise its errors as UserError, with the sentence `refusal`, or as Unavailable."""
    client = None
    try:
        client = _client(warehouse)
        yield client, Retry(timeout=warehouse.retry_seconds)
    except _REFUSALS as error:
        raise UserError(refusal.format(type(error).__name__)) from None
    except (exceptions.GoogleAPIError, ConnectionError, GoogleAuthError) as error:
        raise unavailable(error) from None
    finally:
        if client is not None:
            client.transport.close()


def batches(client: BigQueryReadClient, stream: str, retry: Retry) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a stream."""
    schema = None
    for part in client.read_rows(stream, retry=retry):
        if schema is None:  # which is in the first answer only
            schema = pa.ipc.read_schema(pa.py_buffer(part.arrow_schema.serialized_schema))
        yield pa.ipc.read_record_batch(pa.py_buffer(part.arrow_record_batch.serialized_record_batch), schema)


def embeddings_of(batch: pa.RecordBatch) -> npt.NDArray[np.float32]:
    """Return the embeddings of a batch, of shape (rows, dimension)."""
    embeddings = batch.column("embedding")
    rows = len(embeddings)
    return np.asarray(embeddings.flatten(), np.float32).reshape(rows, -1 if rows else 0)


def _client(warehouse: Warehouse) -> BigQueryReadClient:
    if warehouse.emulator is None:
        return BigQueryReadClient()
    channel = open_channel(warehouse.emulator.grpc, warehouse.emulator.token)
    return BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))


def open_streams(
    client: BigQueryReadClient,
    table_id: str,
    columns: Sequence[str],
    retry: Retry,
    restriction: str,
    streams: int = 1,
    parent: str | None = None,
) -> list[str]:
    """Open a session, and return the names of its streams: as many as `streams` if BigQuery can.

    The project `parent` pays, by default the one of the table.
    """
    project, dataset, name = table_id.rsplit(".", 2)
    session = types.ReadSession(
        table=f"projects/{project}/datasets/{dataset}/tables/{name}",
        data_format=types.DataFormat.ARROW,
        read_options={"selected_fields": list(columns), "row_restriction": restriction},
    )
    request = types.CreateReadSessionRequest(
        parent=f"projects/{parent or project}",
        read_session=session,
        max_stream_count=streams,
        preferred_min_stream_count=streams,
    )
    opened = client.create_read_session(request, retry=retry, timeout=CREATE_SECONDS)
    return [stream.name for stream in opened.streams]

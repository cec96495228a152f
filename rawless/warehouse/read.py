"""Read rows in bulk through the Storage Read API, as Arrow batches."""

from collections.abc import Iterator, Sequence

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


def read(warehouse: Warehouse, table_id: str, columns: Sequence[str], restriction: str) -> Iterator[pa.RecordBatch]:
    """Yield columns of the rows for which `restriction` is true, as of the time when the first batch is requested.

    The order is not defined. A batch is at most some megabytes, and one is in memory at a time. `restriction` is SQL
    without parameters, so it may contain validated values only. Raises UserError when the table cannot be read,
    Unavailable when BigQuery does not answer.
    """
    client = None
    try:
        client = _client(warehouse)
        retry = Retry(timeout=warehouse.retry_seconds)
        session = _session(client, table_id, columns, restriction, retry)
        for stream in session.streams:
            schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
            for part in client.read_rows(stream.name, retry=retry):
                yield pa.ipc.read_record_batch(pa.py_buffer(part.arrow_record_batch.serialized_record_batch), schema)
    except (exceptions.NotFound, exceptions.Forbidden, exceptions.BadRequest, exceptions.Unauthorized) as error:
        raise UserError(
            f"The table {table_id} cannot be read ({type(error).__name__}): check that it exists and "
            "that this account may read it."
        ) from None
    except (exceptions.GoogleAPIError, ConnectionError, GoogleAuthError) as error:
        raise unavailable(error) from None
    finally:
        if client is not None:
            client.transport.close()


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


def _session(
    client: BigQueryReadClient, table_id: str, columns: Sequence[str], restriction: str, retry: Retry
) -> types.ReadSession:
    project, dataset, name = table_id.rsplit(".", 2)
    session = types.ReadSession(
        table=f"projects/{project}/datasets/{dataset}/tables/{name}",
        data_format=types.DataFormat.ARROW,
        read_options={"selected_fields": list(columns), "row_restriction": restriction},
    )
    return client.create_read_session(
        parent=f"projects/{project}", read_session=session, max_stream_count=1, retry=retry, timeout=CREATE_SECONDS
    )

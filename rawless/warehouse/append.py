"""Write rows through the Storage Write API: Arrow batches on the default stream, at least once."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cached_property, lru_cache
from threading import Lock

from google.api_core import exceptions
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport

from rawless.bearer import open_channel
from rawless.errors import Unavailable, UserError
from rawless.warehouse.append_stream import MAX_REQUEST_BYTES, AppendStream
from rawless.warehouse.client import Warehouse
from rawless.warehouse.rows import Row, arrow_bytes

_making = Lock()


class Appending:
    """Rows that are being appended."""

    def __init__(self, writer: "StorageWriter", table: str) -> None:
        self._writer, self._table = writer, table
        self._parts: list[Future[list[int]]] = []

    def add(self, rows: Sequence[Row], positions: list[int], size: int) -> None:
        """Append rows of this size in bytes, which fit into a request, with these positions among all."""
        self._parts.append(self._writer.stream(self._table).submit(rows, positions, size))

    def is_done(self) -> bool:
        """Return whether `result` would return or raise at once."""
        return all(part.done() for part in self._parts)

    def result(self) -> list[int]:
        """Return the positions of the rows that the warehouse refused, in order; all others are in the table.

        Raises Unavailable when the warehouse does not answer, UserError when the table cannot be written.
        """
        stream = self._writer.stream(self._table)
        with self._writer.translated_errors(self._table):
            return sorted(position for part in self._parts for position in stream.wait(part))


class StorageWriter:
    """Appends rows to the tables of one warehouse. Connects at the first append; any number of threads may use it."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._streams: dict[str, AppendStream] = {}
        self._lock = Lock()

    @cached_property
    def client(self) -> BigQueryWriteClient:
        """Google's client."""
        emulator = self._warehouse.emulator
        if emulator is None:
            return BigQueryWriteClient()
        channel = open_channel(emulator.grpc, emulator.token)
        return BigQueryWriteClient(transport=BigQueryWriteGrpcTransport(channel=channel))

    def append(self, rows: Sequence[Row]) -> list[int]:
        """Append rows of one type, and return the positions of those that the warehouse refuses, in order.

        All others are in the table when this returns. Transient errors are retried with backoff, so a row may be
        written twice. Raises Unavailable when the warehouse does not answer, UserError when the table cannot be
        written.
        """
        return self.submit(rows).result() if rows else []

    def submit(self, rows: Sequence[Row]) -> Appending:
        """Append rows of one type, at least one, in the background."""
        appending = Appending(self, rows[0].TABLE)
        for positions, size in _parts(rows):
            appending.add([rows[position] for position in positions], positions, size)
        return appending

    def stream(self, table: str) -> AppendStream:
        """Return the default stream of a table, which all threads share."""
        with self._lock:
            if table not in self._streams:
                project, dataset, _ = self._warehouse.table_id(table).rsplit(".", 2)
                name = f"projects/{project}/datasets/{dataset}/tables/{table}/streams/_default"
                self._streams[table] = AppendStream(self.client, name, self._warehouse.retry_seconds)
            return self._streams[table]

    @contextmanager
    def translated_errors(self, table: str) -> Iterator[None]:
        """Raise errors of Google's client as UserError or Unavailable, without their texts."""
        try:
            yield
        except (exceptions.NotFound, exceptions.PermissionDenied) as error:
            raise UserError(
                f"The table {self._warehouse.table_id(table)} cannot be written ({type(error).__name__}): check that "
                "it exists and that this account may write to it."
            ) from None
        except (exceptions.InvalidArgument, exceptions.FailedPrecondition, exceptions.Unauthenticated) as error:
            raise UserError(
                f"BigQuery refused rows for {self._warehouse.table_id(table)} ({type(error).__name__}): compare the "
                f"table with sql/{table}/schema.yaml, and check the credentials."
            ) from None
        except exceptions.GoogleAPIError as error:
            raise Unavailable(
                f"The warehouse accepted no rows for {self._warehouse.retry_seconds:.0f} seconds "
                f"({type(error).__name__}). Nothing was lost; run the same command again when it is available."
            ) from None


def storage_writer(warehouse: Warehouse) -> StorageWriter:
    """Return the process's writer for a warehouse: some runners create their steps again for every few events."""
    with _making:  # two would have connections of their own
        return _storage_writer(warehouse)


@lru_cache(maxsize=8)
def _storage_writer(warehouse: Warehouse) -> StorageWriter:
    return StorageWriter(warehouse)


def _parts(rows: Sequence[Row]) -> Iterator[tuple[list[int], int]]:
    """Divide rows into parts that fit into one request each, and yield their positions and their size in bytes."""
    part: list[int] = []
    size = 0
    for position, row in enumerate(rows):
        more = arrow_bytes(row)
        if part and size + more > MAX_REQUEST_BYTES:
            yield part, size
            part, size = [], 0
        part.append(position)
        size += more
    if part:
        yield part, size


def append_all(warehouse: Warehouse, rows: Sequence[Row]) -> None:
    """Append rows that must all be accepted, such as an encoder's. Raises UserError when one is refused."""
    if rows and storage_writer(warehouse).append(rows):
        raise UserError(f"The table {rows[0].TABLE} refused a row: compare it with sql/{rows[0].TABLE}/schema.yaml.")

"""Compare the sink with Google's client of the Storage Write API, with the same rows."""

from collections.abc import Sequence
from datetime import UTC, datetime

from google.cloud.bigquery_storage_v1 import types

from benchmarks.figures import Figure, figure, ratios, rounds, seconds
from benchmarks.rows import make_rows
from benchmarks.throughput import bench_warehouse
from rawless.steps.write import MAX_ROWS
from rawless.warehouse.append import StorageWriter
from rawless.warehouse.client import Warehouse
from rawless.warehouse.rows import EmbeddingRow, to_arrow

REQUESTS = 4
DIMENSIONS = {"minilm": 384, "resnet18": 512, "resnet50": 2048}


def measure(count: int) -> list[Figure]:
    """Rows per second of both, for the dimensions of the encoders."""
    warehouse = bench_warehouse()
    return [
        figure for of, dimension in DIMENSIONS.items() for figure in _measure(of, _rows(dimension), warehouse, count)
    ]


def _measure(of: str, rows: Sequence[EmbeddingRow], warehouse: Warehouse, count: int) -> list[Figure]:
    writer = StorageWriter(warehouse)
    requests = _requests(rows, warehouse)

    def sink() -> None:
        for _ in range(REQUESTS):
            if writer.append(rows):
                raise SystemExit("The benchmark is invalid: rows were rejected.")

    def client() -> None:
        for request in requests:
            for response in writer.client.append_rows(iter([request])):
                if response.row_errors or response.error.code:
                    raise SystemExit("The benchmark is invalid: rows were rejected.")

    times = rounds({"sink": lambda: seconds(sink), "client": lambda: seconds(client)}, count)
    size = REQUESTS * len(rows)
    return [
        *(
            figure("sink", of, name, [size / duration for duration in values], "rows a second")
            for name, values in times.items()
        ),
        figure("sink", of, "sink / client", ratios(times["client"], times["sink"]), "ratio"),
    ]


def _requests(rows: Sequence[EmbeddingRow], warehouse: Warehouse) -> list[types.AppendRowsRequest]:
    """The requests that the client sends, created in advance."""
    project, dataset, name = warehouse.table_id(EmbeddingRow.TABLE).rsplit(".", 2)
    batch = to_arrow(rows)
    data = types.AppendRowsRequest.ArrowData(
        writer_schema=types.ArrowSchema(serialized_schema=batch.schema.serialize().to_pybytes()),
        rows=types.ArrowRecordBatch(serialized_record_batch=batch.serialize().to_pybytes()),
    )
    stream = f"projects/{project}/datasets/{dataset}/tables/{name}/streams/_default"
    return [types.AppendRowsRequest(write_stream=stream, arrow_rows=data) for _ in range(REQUESTS)]


def _rows(dimension: int) -> list[EmbeddingRow]:
    return make_rows("bench_sink", ["0" * 64] * MAX_ROWS, [datetime.now(UTC)] * MAX_ROWS, dimension)

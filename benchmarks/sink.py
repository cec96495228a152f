"""The sink alone, against Google's client for the Storage Write API alone, with the same rows."""

from collections.abc import Sequence
from datetime import UTC, datetime

from google.cloud.bigquery_storage_v1 import types

from benchmarks.figures import Figure, figure, ratios, rounds, seconds
from benchmarks.rows import make_rows
from benchmarks.throughput import warehouse
from pipelines.write import MAX_ROWS
from rawless.warehouse.append import Appender
from rawless.warehouse.client import Warehouse
from rawless.warehouse.rows import EmbeddingRow, to_arrow

REQUESTS = 4
DIMENSIONS = {"minilm": 384, "resnet18": 512, "resnet50": 2048}


def measure(count: int) -> list[Figure]:
    """Rows a second of both, for the dimensions of the encoders."""
    place = warehouse()
    return [each for of, dimension in DIMENSIONS.items() for each in _measure(of, _rows(dimension), place, count)]


def _measure(of: str, rows: Sequence[EmbeddingRow], place: Warehouse, count: int) -> list[Figure]:
    appender = Appender(place)
    requests = _requests(rows, place)

    def sink() -> None:
        for _ in range(REQUESTS):
            if appender.append(rows):
                raise SystemExit("The bench is void: rows were refused.")

    def client() -> None:
        for request in requests:
            for response in appender._client.append_rows(iter([request])):
                if response.row_errors or response.error.code:
                    raise SystemExit("The bench is void: rows were refused.")

    found = rounds({"sink": lambda: seconds(sink), "client": lambda: seconds(client)}, count)
    size = REQUESTS * len(rows)
    return [
        *(
            figure("sink", of, name, [size / each for each in values], "rows a second")
            for name, values in found.items()
        ),
        figure("sink", of, "sink / client", ratios(found["client"], found["sink"]), "ratio"),
    ]


def _requests(rows: Sequence[EmbeddingRow], place: Warehouse) -> list[types.AppendRowsRequest]:
    """What the client sends, made before."""
    project, dataset, name = place.table_id(EmbeddingRow.TABLE).rsplit(".", 2)
    batch = to_arrow(rows)
    data = types.AppendRowsRequest.ArrowData(
        writer_schema=types.ArrowSchema(serialized_schema=batch.schema.serialize().to_pybytes()),
        rows=types.ArrowRecordBatch(serialized_record_batch=batch.serialize().to_pybytes()),
    )
    stream = f"projects/{project}/datasets/{dataset}/tables/{name}/streams/_default"
    return [types.AppendRowsRequest(write_stream=stream, arrow_rows=data) for _ in range(REQUESTS)]


def _rows(dimension: int) -> list[EmbeddingRow]:
    return make_rows("bench_sink", ["0" * 64] * MAX_ROWS, [datetime.now(UTC)] * MAX_ROWS, dimension)

"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
WarehouseFile = Annotated[
    Path | None,
    typer.Option("--warehouse", help="The warehouse file. By default the local stack is used.", show_default=False),
]
StreamFile = Annotated[Path, typer.Option("--stream", help="The stream file.")]
BatchSource = Annotated[
    str,
    typer.Option(
        "--source", help="Where to read events: jsonl:PATH, files:GLOB, parquet:GLOB or bigquery:PROJECT.DATASET.TABLE."
    ),
]
Metadata = Annotated[
    str | None,
    typer.Option(
        "--metadata",
        metavar="FILE",
        help="For files: a CSV with the columns file, event_id, occurred_at, subject_id and attributes; if they are in "
        "a bucket, also a pattern or gs://BUCKET/GLOB.",
    ),
]
SubjectForm = Annotated[
    str, typer.Option("--subject-form", help="The ids' normal form, as in the stream files: of trim,lower,nfc.")
]
DeviceName = Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="The device that encodes.")]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics-port", min=0, max=65535,
        help="Serve metrics for Prometheus at /metrics, and /health, on this port; 0 picks a free one.",
    ),
]  # fmt: skip
MetricsHost = Annotated[
    str,
    typer.Option(
        "--metrics-host", help="The address of that port. Whoever can reach it may read the metrics, which are counts."
    ),
]

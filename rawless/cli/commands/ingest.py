"""`rawless ingest`: encode events and log their embeddings."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rawless.cli.interrupts import INTERRUPTED
from rawless.cli.metrics import served_metrics
from rawless.cli.options import DeviceName, Json, Metadata, MetricsHost, MetricsPort, StreamFile, WarehouseFile
from rawless.cli.output import echo, print_json, progress, warn
from rawless.errors import RawlessError

if TYPE_CHECKING:
    from rawless.events.source import Source
    from rawless.work import Done


def ingest(
    context: typer.Context,
    stream: StreamFile,
    source: Annotated[str, typer.Option(help="Where to read events; see above.")],
    metadata: Metadata = None,
    until_idle: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="For sources of messages: stop after this many seconds without one. By default it runs until Ctrl-C.",
        ),
    ] = None,
    device: DeviceName = "auto",
    warehouse: WarehouseFile = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
    json: Json = False,
) -> None:
    """Encode the events of a source and log the embeddings. Options of Beam follow after --.

    A source is jsonl:PATH, files:GLOB, parquet:GLOB, bigquery:PROJECT.DATASET.TABLE or
    pubsub:projects/P/subscriptions/S. PATH and GLOB may be gs://BUCKET/GLOB.

    `rawless worker` reads Pub/Sub without Beam, and kafka:BROKERS/TOPIC?group=G.

    Ctrl-C finishes the events that were already read; a second Ctrl-C stops immediately.
    """
    started = time.monotonic()
    from rawless.connect import open_tables
    from rawless.events.sources import open_source
    from rawless.events.stream import load_stream

    loaded = load_stream(stream)
    # Reports a wrong source before Beam and torch are imported.
    opened = open_source(source, loaded, metadata, lambda: open_tables(warehouse))
    from pipelines.launch import IngestRequest, prepare
    from rawless.steps.progress import describe

    request = IngestRequest(
        opened, until_idle, device, warehouse, context.args, serves_metrics=metrics_port is not None
    )
    with progress(f"Preparing to ingest {loaded.stream}"):
        job = prepare(request, loaded)
    for warning in filter(None, (loaded.leakage_warning(), *job.warnings)):
        warn(warning)
    with (
        served_metrics(metrics_port, metrics_host),
        progress(
            f"Ingesting {loaded.stream}",
            lambda: describe(loaded.stream),
            measure(loaded.stream, opened, len(loaded.encoders)),
        ),
    ):
        summary = timed(job.run(), started)
    if json:
        print_json(summary)
    else:
        print_summary(summary)
    if summary.get("stopped") and job.ingest.source.is_bounded:
        if not json:
            echo(
                "Stopped before the end of the source. Run the same command again for the rest; events that are "
                "logged twice count once."
            )
        raise typer.Exit(INTERRUPTED)
    if not summary.get("stopped"):
        check_embedded(summary)


def measure(stream: str, source: "Source", encoders: int) -> "Callable[[], Done | None]":
    """Return a function that says how much of a source has its rows, for one whose size is known.

    Reading is ahead of writing, by up to a thousand texts, so it is the part of what was read that has been written.
    """
    from rawless.events.source_total import total_of
    from rawless.steps.progress import counts
    from rawless.work import Done

    total = total_of(source)
    kind = "bytes" if total and total.unit == "bytes" else "read"
    before = counts(stream).copy()

    def done() -> Done | None:
        seen = counts(stream) - before
        if total is None or not seen["read"]:
            return None
        written = seen["embeddings"] + seen["predictions"] + seen["rejections"]
        return Done(int(seen[kind] * min(1.0, written / (seen["read"] * encoders))), *total)

    return done


def timed(summary: dict[str, Any], started: float) -> dict[str, Any]:
    """Return the summary of a job that ran here with the time of the whole command, which started at `started`."""
    if "seconds" not in summary:
        return summary
    return {**summary, "total_seconds": round(time.monotonic() - started, 3)}


def check_embedded(summary: dict[str, Any]) -> None:
    """Raise RawlessError if a job read events and embedded none. A source without events is no failure."""
    if summary.get("read") and not summary["embeddings"]:
        reasons = ", ".join(summary["rejections"])
        raise RawlessError(
            f"Nothing was embedded: all events that were read ({summary['read']:,}) were rejected ({reasons}); check "
            "that the source contains events of this stream."
        )


def print_summary(summary: dict[str, Any]) -> None:
    """Print what an ingest job did."""
    encoders = ", ".join(summary["encoders"])
    if "job" in summary:
        outcome = f"launched job {summary['job']}" if summary["job"] else "wrote the graph of the job"
        echo(f"{summary['stream']}: {outcome}, with {encoders}.")
        return
    echo(f"{summary['stream']}: {summary['read']:,} events read, {summary['embeddings']:,} embeddings by {encoders}.")
    rejected = sum(summary["rejections"].values())
    if rejected:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in summary["rejections"].items())
        echo(f"{rejected:,} rejected: {reasons}.")
    if dropped := summary["dropped_attributes"]:
        attributes, them = ("attribute", "it") if dropped == 1 else ("attributes", "them")
        echo(f"{dropped:,} {attributes} dropped because the stream does not allow {them}.")
    if unchanged := summary.get("unchanged"):
        echo(f"{unchanged:,} results of unchanged content were remembered, and not computed again.")
    idle = f" ({summary['idle_seconds']:.1f} of them idle)" if summary["idle_seconds"] else ""
    rate = f"{summary['events_per_second']:,.1f} events a second"
    if "total_seconds" in summary:
        total, of_the_job = summary["total_seconds"], summary["seconds"]
        when = " when not idle" if idle else ""
        echo(f"{total:.1f} seconds in total, of which the job ran {of_the_job:.1f}{idle}, reading {rate}{when}.")
    else:
        echo(f"{summary['seconds']:.1f} seconds{idle}, {rate}.")

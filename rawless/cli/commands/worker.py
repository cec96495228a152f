"""`rawless worker`: encode messages and log their embeddings, without Beam."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from rawless.cli.commands.ingest import check_embedded, print_summary
from rawless.cli.interrupts import INTERRUPTED
from rawless.cli.metrics import served_metrics
from rawless.cli.options import DeviceName, Json, MetricsHost, MetricsPort, StreamFile, WarehouseFile
from rawless.cli.output import print_json, progress, warn

PATIENCE = 600.0
"""Seconds after which a worker ends whose every attempt to read or to write has failed."""


def worker(
    stream: StreamFile,
    source: Annotated[str, typer.Option(help="Where to read messages; see above.")],
    threads: Annotated[int, typer.Option(min=1, max=1000, help="How many bundles of messages are in progress.")] = 8,
    until_idle: Annotated[
        float | None,
        typer.Option(
            min=0, help="Stop after this many seconds without a message. By default it runs until it is stopped."
        ),
    ] = None,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds within which it finishes what it has read when it is stopped.")
    ] = 25,
    kafka_config: Annotated[
        Path | None, typer.Option("--kafka-config", help="For Kafka: a file of librdkafka's properties, NAME=VALUE.")
    ] = None,
    device: DeviceName = "auto",
    warehouse: WarehouseFile = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
    json: Json = False,
) -> None:
    """Encode messages and log their embeddings, in one process and without Beam.

    A source is pubsub:projects/P/subscriptions/S or kafka:BROKERS/TOPIC?group=G.

    A message is acknowledged, or its offset committed, after its rows are written.

    SIGTERM and Ctrl-C finish the messages that were already read; a second one stops immediately.
    """
    from rawless.events.sources import open_message_source
    from rawless.events.stream import load_stream

    loaded = load_stream(stream)
    opened = open_message_source(source, loaded)  # reports a wrong source before torch is imported
    from rawless.steps.progress import describe
    from rawless.worker.launch import WorkerRequest, prepare
    from rawless.worker.run import Limits, OutOfTime

    request = WorkerRequest(opened, Limits(threads, until_idle, PATIENCE, grace), device, warehouse, kafka_config)
    with progress(f"Preparing a worker of {loaded.stream}"):
        prepared = prepare(request, loaded)
    for warning in filter(None, (loaded.leakage_warning(), *prepared.job.warnings)):
        warn(warning)
    try:
        with (
            served_metrics(metrics_port, metrics_host),
            progress(f"Reading {loaded.stream}", lambda: describe(loaded.stream)),
        ):
            summary = prepared.run(signal.SIGTERM)
    except OutOfTime as error:
        warn(str(error))
        raise typer.Exit(INTERRUPTED) from None  # without waiting for threads
    if json:
        print_json(summary)
    else:
        print_summary(summary)
    if not summary["stopped"]:
        check_embedded(summary)

"""`rawless ingest`: events in, embedding rows out."""

from typing import Annotated, Any

import typer

from rawless.cli.options import DeviceName, Json, Metadata, StreamFile, WarehouseFile
from rawless.cli.output import print_json, progress, say, warn
from rawless.events.stream import load_stream

INTERRUPTED = 130


def ingest(
    context: typer.Context,
    stream: StreamFile,
    source: Annotated[
        str, typer.Option(help="Where the events are: jsonl:PATH, files:GLOB or pubsub:projects/P/subscriptions/S.")
    ],
    metadata: Metadata = None,
    until_idle: Annotated[
        float | None,
        typer.Option(min=0, help="For pubsub: end when nothing came for so many seconds; else go on until Ctrl-C."),
    ] = None,
    device: DeviceName = "auto",
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Encode a source's events and log the embeddings. Beam's own options come after --.

    Ctrl-C finishes what was read, a second one stops at once.
    """
    declared = load_stream(stream)
    warn(declared.leakage_warning())
    from pipelines.launch import IngestRequest, prepare
    from pipelines.progress import told

    request = IngestRequest(source, metadata, until_idle, device, warehouse, context.args)
    with progress(f"Ingesting {declared.stream}", lambda: told(declared.stream)):
        summary = prepare(request, declared).run()
    if json:
        print_json(summary)
    else:
        print_summary(summary)
    if summary.get("stopped") and not source.startswith("pubsub:"):
        if not json:
            say("Stopped before the end: run the same command again for the rest. What is logged twice counts once.")
        raise typer.Exit(INTERRUPTED)


def print_summary(summary: dict[str, Any]) -> None:
    """What a job did, in words."""
    encoders = ", ".join(summary["encoders"])
    if "job" in summary:
        launched = f"job {summary['job']} is launched" if summary["job"] else "the job's graph is written"
        say(f"{summary['stream']}: {launched}, with {encoders}.")
        return
    say(f"{summary['stream']}: {summary['read']:,} events read, {summary['embeddings']:,} embeddings by {encoders}.")
    rejected = sum(summary["rejections"].values())
    if rejected:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in summary["rejections"].items())
        say(f"{rejected:,} rejected: {reasons}.")
    if summary["dropped_attributes"]:
        say(f"Attributes dropped, since the stream does not allow them: {summary['dropped_attributes']:,}.")
    idle = f" ({summary['idle_seconds']:.1f} of them idle)" if summary["idle_seconds"] else ""
    say(f"{summary['seconds']:.1f} seconds{idle}, {summary['events_per_second']:,.1f} events a second.")

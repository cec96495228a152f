"""`rawless ingest`: events in, embedding rows out."""

import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from privacy import UserError
from rawless.options import Json, WarehouseFile
from rawless.output import print_json, progress, say, warn


def ingest(
    context: typer.Context,
    stream: Annotated[Path, typer.Option(help="The stream file.")],
    source: Annotated[str, typer.Option(help="Where the events are: jsonl:PATH or files:GLOB.")],
    metadata: Annotated[
        Path | None, typer.Option(help="For files: a CSV with file, event_id, occurred_at, subject_id and attributes.")
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the encoders run.")] = "auto",
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Encode a source's events and log the embeddings. Beam's own options come after --."""
    summary = run(stream, source, metadata, device, warehouse, context.args)
    if json:
        print_json(summary)
    else:
        _print(summary)


def run(
    stream_file: Path,
    source: str,
    metadata: Path | None,
    device: Literal["auto", "cpu", "cuda"],
    warehouse: Path | None,
    beam: list[str],
) -> dict[str, Any]:
    """Check everything that can be checked before the start, run the job, and return its summary."""
    from events.sources import open_source
    from events.stream import load_stream
    from pipelines import live, options
    from pipelines.run import run as run_job
    from rawless.commands.stream import ungated

    stream = load_stream(stream_file)
    opened = open_source(source, stream, metadata)
    beam_options = options.parse(beam)
    if stream.leakage is not None:
        raise UserError(f"{stream.stream} has a leakage gate, which this version cannot hold yet: leave leakage out.")
    if sentence := ungated(stream):
        warn(sentence)
    with progress(f"Ingesting {stream.stream}", live.told):
        job = _job(stream, opened, device, warehouse)
        return run_job(job, beam_options, time.monotonic())


def _job(stream: Any, source: Any, device: Literal["auto", "cpu", "cuda"], warehouse_file: Path | None) -> Any:
    from encoders.load import load
    from pipelines.ingest import Ingest
    from rawless.commands.stream import check_modality
    from rawless.places import key_source, open_warehouse
    from rawless.registry import register, resolve

    warehouse = open_warehouse(warehouse_file)
    specs = tuple(resolve(warehouse, ref) for ref in stream.encoders)
    for spec in specs:
        check_modality(stream, spec)
        load(spec, device)  # sealed, complete, and still giving its probe
        register(warehouse, spec)
    if len({spec.fingerprint for spec in specs}) < len(specs):
        raise UserError(f"{stream.stream} names one encoder twice, by different names: {', '.join(stream.encoders)}.")
    key = key_source(warehouse)
    if stream.subject != "none":
        key.load()
    return Ingest(stream, source, specs, key, warehouse, device)


def _print(summary: dict[str, Any]) -> None:
    encoders = ", ".join(summary["encoders"])
    say(f"{summary['stream']}: {summary['read']:,} events read, {summary['embeddings']:,} embeddings by {encoders}.")
    rejected = sum(summary["rejections"].values())
    if rejected:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in summary["rejections"].items())
        say(f"{rejected:,} rejected: {reasons}.")
    if summary["dropped_attributes"]:
        say(f"Attributes dropped, since the stream does not allow them: {summary['dropped_attributes']:,}.")
    say(f"{summary['seconds']:.1f} seconds, {summary['events_per_second']:,.1f} events a second.")

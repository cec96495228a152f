"""`rawless predict`: the predictions of a head for many events, as rows of `prediction_v1`."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rawless.cli.interrupts import INTERRUPTED
from rawless.cli.options import DeviceName, Json, Metadata, WarehouseFile
from rawless.cli.output import echo, print_json, progress, warn
from rawless.errors import RawlessError, UserError
from rawless.quantities import counted

if TYPE_CHECKING:
    from encoders.encoder import Device
    from rawless.prediction.prepare import PreparedPrediction
    from rawless.prediction.request import PredictRequest
    from rawless.work import Done

_DATES = ["%Y-%m-%d"]


def predict(
    context: typer.Context,
    head: Annotated[str, typer.Argument(help="NAME@VERSION, or a name for its deployed version.")],
    stream: Annotated[Path | None, typer.Option("--stream", help="With --source: the stream file.")] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            help="Encode the events of jsonl:PATH, files:GLOB, parquet:GLOB or bigquery:PROJECT.DATASET.TABLE.",
        ),
    ] = None,
    metadata: Metadata = None,
    device: DeviceName = "auto",
    stored: Annotated[
        str | None, typer.Option("--stored", metavar="STREAM", help="Take the stored embeddings of this stream.")
    ] = None,
    from_: Annotated[
        datetime | None, typer.Option("--from", formats=_DATES, help="With --stored: the first day, in UTC.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--until", formats=_DATES, help="With --stored: the day after the last one.")
    ] = None,
    snapshot: Annotated[
        str | None, typer.Option("--snapshot", help="Take the rows of this snapshot, or of a dataset's last one.")
    ] = None,
    minimum_confidence: Annotated[
        float | None,
        typer.Option("--minimum-confidence", help="Abstain if the highest probability is lower."),
    ] = None,
    heads: Annotated[
        Path | None, typer.Option("--heads", help="The folder of heads; by default that of the home folder.")
    ] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Write the predictions of a head for many events to the table prediction_v1.

    Name what to predict. --source with --stream: content is encoded, and its embeddings are not stored. --stored:
    embeddings that have no prediction by this version of the head yet. --snapshot: rows that have the features which a
    head may take. A head abstains from what is out of its domain, as in a service. Options of Beam follow after --.
    """
    _check_options(
        {"--source": source, "--stored": stored, "--snapshot": snapshot},
        {
            "--source": {"--stream": stream, "--metadata": metadata, "--device": None if device == "auto" else device},
            "--stored": {"--from": from_, "--until": until},
        },
    )
    from rawless.prediction.request import PredictRequest

    request = PredictRequest(head, minimum_confidence, heads, warehouse, context.args)
    if source is not None and stream:
        summary = _run(_prepare_events(request, stream, source, metadata, device))
    elif stored is not None:
        summary = _run(_prepare_stored(request, stored, from_, until))
    else:
        summary = _predict_snapshot(request, str(snapshot))
    if json:
        print_json(summary)
    else:
        _print_summary(summary)
    if summary["stopped"]:
        raise typer.Exit(INTERRUPTED)
    _check_predicted(summary)


def _check_options(inputs: Mapping[str, str | None], of_inputs: Mapping[str, Mapping[str, object]]) -> None:
    """Raise UserError unless exactly one input is named, with its own options only."""
    named = [name for name, value in inputs.items() if value is not None]
    if len(named) != 1:
        raise UserError(
            f"Name what to predict by one of --source, --stored and --snapshot{', not by several' if named else ''}."
        )
    for owner, own in of_inputs.items():
        if owner not in named and (foreign := [name for name, value in own.items() if value is not None]):
            raise UserError(f"{foreign[0]} goes with {owner}, not with {named[0]}: leave it out.")
    if named == ["--source"] and of_inputs["--source"]["--stream"] is None:
        raise UserError("--source needs --stream STREAM.yaml, which says what an event of it is.")


def _prepare_events(
    request: "PredictRequest", stream: Path, source: str, metadata: str | None, device: "Device"
) -> "PreparedPrediction":
    from rawless.connect import open_tables
    from rawless.events.sources import open_bounded_source
    from rawless.events.stream import load_stream

    loaded = load_stream(stream)
    # Reports a wrong source before Beam and torch are imported.
    opened = open_bounded_source(source, loaded, metadata, tables=lambda: open_tables(request.warehouse))
    with progress(f"Preparing to predict by {request.head}"):
        from rawless.prediction.prepare import prepare_events

        return prepare_events(request, loaded, opened, device)


def _prepare_stored(
    request: "PredictRequest", stream: str, from_: datetime | None, until: datetime | None
) -> "PreparedPrediction":
    from rawless.warehouse.spans import EVER

    start_at, end_at = (at.replace(tzinfo=UTC) if at else ever for at, ever in zip((from_, until), EVER, strict=True))
    with progress(f"Preparing to predict by {request.head}"):
        from rawless.prediction.prepare import prepare_stored

        return prepare_stored(request, stream, start_at, end_at)


def _predict_snapshot(request: "PredictRequest", snapshot: str) -> dict[str, Any]:
    with progress(f"Predicting {snapshot} by {request.head}"):
        from rawless.prediction.snapshot import predict_snapshot

        return predict_snapshot(request, snapshot)


def _run(job: "PreparedPrediction") -> dict[str, Any]:
    from rawless.steps.progress import describe

    for warning in job.warnings:
        warn(warning)
    with progress(f"Predicting {job.stream} by {job.head.ref}", lambda: describe(job.stream), _measure(job)):
        return job.run()


def _measure(job: "PreparedPrediction") -> "Callable[[], Done | None]":
    """Return a function that says how much of a job is done: of its source, or of the stored events that it takes."""
    from rawless.cli.commands.ingest import measure
    from rawless.prediction.jobs import PredictEvents
    from rawless.steps.progress import counts
    from rawless.work import Done

    if isinstance(job.job, PredictEvents):
        return measure(job.stream, job.job.source, encoders=1)
    before, rows = counts(job.stream).copy(), job.rows

    def done() -> Done | None:
        seen = counts(job.stream) - before
        return Done(seen["predictions"] + seen["rejections"], rows, "events") if rows else None

    return done


def _print_summary(summary: dict[str, Any]) -> None:
    if not summary["read"] and not summary["stopped"]:
        echo(f"{summary['stream']}: nothing to predict that {summary['head']} has not predicted yet.")
        return
    what = f"{summary['stream']}: {summary['read']:,} read, {counted(summary['predictions'], 'prediction')}"
    echo(f"{what} by {summary['head']} from vectors of {summary['encoder']}.")
    if abstained := sum(summary["abstentions"].values()):
        are = "is an abstention" if abstained == 1 else "are abstentions"
        echo(f"{abstained:,} of them {are}: {_listed(summary['abstentions'])}.")
    if rejected := sum(summary["rejections"].values()):
        echo(f"{rejected:,} rejected: {_listed(summary['rejections'])}.")
    if dropped := summary.get("dropped_attributes"):
        echo(f"{dropped:,} {'attribute' if dropped == 1 else 'attributes'} dropped that the stream does not allow.")
    if left_out := summary.get("left_out"):
        echo(f"{left_out:,} left out, whose embeddings were deleted since the snapshot was built.")
    if summary["stopped"]:
        echo("Stopped before the end. Run the same command again for the rest; readers count a prediction once.")
    echo(f"{summary['seconds']:.1f} seconds, {summary['events_per_second']:,.1f} events a second.")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _check_predicted(summary: Mapping[str, Any]) -> None:
    """Raise RawlessError if a job read events and predicted none."""
    if summary["read"] and not summary["predictions"] and summary["rejections"]:
        raise RawlessError(
            f"Nothing was predicted: all events that were read ({summary['read']:,}) were rejected "
            f"({', '.join(summary['rejections'])}); check that the source contains events of this stream."
        )

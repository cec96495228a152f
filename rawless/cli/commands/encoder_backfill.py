"""`rawless encoder backfill`: vectors of old events in the space of another encoder, by an adapter."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer

from rawless.cli.commands.encoder import Ref
from rawless.cli.interrupts import INTERRUPTED
from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, print_json, progress

_DATES = ["%Y-%m-%d"]


def backfill(
    context: typer.Context,
    encoder: Ref,
    stream: Annotated[str, typer.Option("--stream", help="The name of the stream.")],
    from_: Annotated[
        datetime | None, typer.Option("--from", formats=_DATES, help="The first day, in UTC. By default all.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--until", formats=_DATES, help="The day after the last one. By default all.")
    ] = None,
    engine: Annotated[
        Literal["beam", "sql"], typer.Option("--engine", help="A Beam job, or one statement for an affine adapter.")
    ] = "beam",
    plan: Annotated[bool, typer.Option("--plan", help="Print rows, bytes and cost, and write nothing.")] = False,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Map the vectors of old events, whose content is gone, into the space of another encoder.

    ENCODER is one with an adapter. Its rows are written beside those that it maps from, for events that have none yet
    and no vector by the encoder that it maps to. Options of Beam follow after --.
    """
    from pipelines.backfill import BackfillRequest, prepare
    from rawless.steps.progress import describe
    from rawless.warehouse.spans import EVER

    start_at, end_at = (at.replace(tzinfo=UTC) if at else ever for at, ever in zip((from_, until), EVER, strict=True))
    with progress(f"Preparing to adapt {stream}"):
        job = prepare(BackfillRequest(encoder, stream, start_at, end_at, engine, warehouse, context.args))
    summary: dict[str, Any] = {"stream": stream, "encoder": job.encoder.ref, "engine": engine, "rows": job.rows}
    if plan:
        summary |= {"read_bytes": job.read_bytes, "written_bytes": job.written_bytes, "dollars": round(job.dollars, 6)}
    else:
        with progress(f"Adapting {stream}", lambda: describe(stream)):
            summary |= job.run()
    if json:
        print_json(summary)
    elif plan:
        _print_plan(summary)
    else:
        _print_summary(summary)
    if summary.get("stopped"):
        raise typer.Exit(INTERRUPTED)


def _print_plan(plan: dict[str, Any]) -> None:
    from rawless.quantities import format_bytes

    echo(
        f"{plan['stream']}: {plan['rows']:,} rows by {plan['encoder']} to write ({format_bytes(plan['written_bytes'])})"
        f"; reads at most {format_bytes(plan['read_bytes'])}, ${plan['dollars']:.4f} on demand."
    )


def _print_summary(summary: dict[str, Any]) -> None:
    if not summary["rows"]:
        echo(f"{summary['stream']}: nothing to adapt. Every event has a vector by {summary['encoder']} or its target.")
        return
    echo(f"{summary['stream']}: {summary['embeddings']:,} of {summary['rows']:,} rows by {summary['encoder']} written.")
    if rejected := sum(summary["rejections"].values()):
        echo(f"{rejected:,} rejected: {', '.join(f'{reason} {n:,}' for reason, n in summary['rejections'].items())}.")
    if summary["stopped"]:
        echo("Stopped before the end. Run the same command again for the rest.")
    echo(f"{summary['seconds']:.1f} seconds, {summary['events_per_second']:,.1f} rows a second.")

"""`rawless replay`: read a source again to encode events that were rejected."""

import time
from typing import Annotated, Any

import typer

from rawless.cli.commands.ingest import check_embedded, print_summary, timed
from rawless.cli.interrupts import INTERRUPTED
from rawless.cli.options import BatchSource, DeviceName, Json, Metadata, StreamFile, WarehouseFile
from rawless.cli.output import echo, print_json, progress, warn
from rawless.errors import RawlessError
from rawless.privacy import Reason


def _reason(code: str) -> Reason:
    """Return the reason with this code, or with this former code."""
    try:
        return Reason(code)
    except ValueError:
        codes = ", ".join(repr(reason.value) for reason in Reason)
        raise typer.BadParameter(f"{code!r} is not one of {codes}.") from None


def replay(
    context: typer.Context,
    stream: StreamFile,
    reason: Annotated[
        Reason,
        typer.Option(
            metavar="REASON", parser=_reason, help="The reason of the rejections, as in the table rejection_v1."
        ),
    ],
    source: BatchSource,
    metadata: Metadata = None,
    device: DeviceName = "auto",
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Encode the events of a source that were rejected for a reason and still have no embedding.

    Run it after the cause is fixed: a limit raised, an object restored, a format allowed.
    Options of Beam follow after --.
    """
    started = time.monotonic()
    from rawless.connect import open_tables
    from rawless.events.sources import open_source
    from rawless.events.stream import load_stream

    loaded = load_stream(stream)
    # Reports a wrong source before Beam and torch are imported.
    opened = open_source(source, loaded, metadata, lambda: open_tables(warehouse))
    if warning := loaded.leakage_warning():
        warn(warning)
    from pipelines.launch import IngestRequest
    from pipelines.launch import replay as run
    from rawless.steps.progress import describe

    request = IngestRequest(opened, None, device, warehouse, context.args)
    with progress(f"Replaying {loaded.stream}", lambda: describe(loaded.stream)):
        summary = timed(run(request, loaded, reason, warn), started)
    if json:
        print_json(summary)
    else:
        _print_summary(summary)
    if summary.get("stopped"):
        raise typer.Exit(INTERRUPTED)
    if summary["open_before"] and not summary["read"]:
        raise RawlessError(
            f"Nothing was embedded: the source contains none of the {summary['open_before']:,} events; name the source "
            "that they were read from."
        )
    check_embedded(summary)


def _print_summary(summary: dict[str, Any]) -> None:
    stream, reason, count = summary["stream"], summary["reason"], summary["open_before"]
    if summary["unidentified"]:
        echo(f"{summary['unidentified']:,} rejected deliveries cannot be found again: they had no valid event id.")
    if not count:
        echo(f"{stream}: nothing to replay. Every event with an id that was rejected as {reason} has an embedding.")
        return
    echo(
        f"{stream}: {count:,} events rejected as {reason} had no embedding before the replay, {summary['open']:,} have "
        "none now."
    )
    print_summary(summary)

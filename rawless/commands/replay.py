"""`rawless replay`: a source again, for what was rejected."""

from typing import Annotated, Any

import typer

from privacy import Reason
from rawless.commands.ingest import INTERRUPTED, print_summary
from rawless.jobs import Order
from rawless.jobs import replay as run
from rawless.options import BatchSource, DeviceName, Json, Metadata, StreamFile, WarehouseFile
from rawless.output import print_json, say


def replay(
    context: typer.Context,
    stream: StreamFile,
    reason: Annotated[Reason, typer.Option(metavar="REASON", help="Why they were rejected, as in rejection_v1.")],
    source: BatchSource,
    metadata: Metadata = None,
    device: DeviceName = "auto",
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Encode the events of a source that were rejected for a reason and have no embedding by now.

    Run it after what was wrong is mended: a limit raised, an object put back, a format allowed.
    Beam's own options come after --.
    """
    order = Order(stream, source, metadata, None, device, warehouse, context.args)
    summary = run(order, reason)
    if json:
        print_json(summary)
    else:
        _print(summary)
    if summary.get("stopped"):
        raise typer.Exit(INTERRUPTED)


def _print(summary: dict[str, Any]) -> None:
    stream, reason, count = summary["stream"], summary["reason"], summary["open_before"]
    if summary["unidentified"]:
        say(f"Deliveries without an id that could be stored, which cannot be found again: {summary['unidentified']:,}.")
    if not count:
        say(f"{stream}: nothing to replay: every event that was rejected as {reason} and has an id has an embedding.")
        return
    say(f"{stream}: rejected as {reason} and without an embedding: {count:,} before, {summary['open']:,} now.")
    print_summary(summary)

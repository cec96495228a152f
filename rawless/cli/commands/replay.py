"""`rawless replay`: a source again, for what was rejected."""

from typing import Annotated, Any

import typer

from rawless.cli.commands.ingest import INTERRUPTED, print_summary
from rawless.cli.options import BatchSource, DeviceName, Json, Metadata, StreamFile, WarehouseFile
from rawless.cli.output import print_json, progress, say, warn
from rawless.events.stream import load_stream
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
        Reason, typer.Option(metavar="REASON", parser=_reason, help="Why they were rejected, as in rejection_v1.")
    ],
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
    declared = load_stream(stream)
    warn(declared.leakage_warning())
    from pipelines.launch import IngestRequest
    from pipelines.launch import replay as run
    from pipelines.progress import told

    request = IngestRequest(source, metadata, None, device, warehouse, context.args)
    with progress(f"Replaying {declared.stream}", lambda: told(declared.stream)):
        summary = run(request, declared, reason)
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

"""`rawless inspect`: print a link to an item in its source system, and record who asked for it and why."""

from dataclasses import asdict
from typing import Annotated

import typer

from rawless.cli.options import Json, StreamFile, WarehouseFile
from rawless.cli.output import echo, note, print_json


def inspect(
    event: Annotated[str, typer.Argument(metavar="EVENT", help="The event id.")],
    stream: StreamFile,
    reason: Annotated[
        str,
        typer.Option(
            metavar="CODE",
            help="customer_request, data_quality, legal_obligation, misclassification, rejection or security_incident.",
        ),
    ],
    ticket: Annotated[str, typer.Option(metavar="ID", help="The ticket of the request, such as PRIV-123.")],
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Print a link to an item in its source system, after recording who asked for it, when and why.

    The link comes from inspect.url in the stream file. Who may follow it is decided by the source system.
    """
    from rawless.audit.inspection import inspect as record
    from rawless.audit.reason_codes import InspectionReason, check_ticket, parse_reason
    from rawless.connect import open_warehouse
    from rawless.events.stream import load_stream

    loaded = load_stream(stream)
    code, checked_ticket = parse_reason(reason, InspectionReason), check_ticket(ticket)
    inspection = record(open_warehouse(warehouse), loaded, event, code, checked_ticket)
    if json:
        print_json(asdict(inspection))
        return
    note(f"Recorded as {inspection.inspection_id} in inspection_v1.")
    echo(inspection.link)

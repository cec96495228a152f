"""`rawless audit waive|waivers`: grant exceptions from a leakage gate, and list them."""

from datetime import datetime
from typing import Annotated

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, print_json, print_table

_COLUMNS = ("stream", "encoder_fingerprint", "metric", "reason", "ticket", "granted_by", "expires_at", "valid")


def waive(
    stream: Annotated[str, typer.Option(metavar="FILE|NAME", help="The stream file, or the name of the stream.")],
    encoder: Annotated[str, typer.Option(metavar="REF", help="NAME@VERSION, or the path of a spec file.")],
    metric: Annotated[str, typer.Option(metavar="CODE", help="The metric, as in the stream's leakage.max.")],
    reason: Annotated[
        str,
        typer.Option(metavar="CODE", help="accepted_risk, audit_pending, migration, mitigated_elsewhere or test_data."),
    ],
    ticket: Annotated[str, typer.Option(metavar="ID", help="The ticket of the decision, such as PRIV-123.")],
    until: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="The last day (UTC) of the waiver, at most 180 days ahead.")
    ],
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Let an encoder pass a stream's leakage gate for one metric and a limited time. This is recorded."""
    from rawless.audit import waivers
    from rawless.audit.reason_codes import WaiverReason, check_ticket, parse_reason
    from rawless.cli.commands.encoder import resolved
    from rawless.connect import open_warehouse

    code, checked_ticket = parse_reason(reason, WaiverReason), check_ticket(ticket)
    name = waivers.gated_stream(stream, encoder, metric)
    spec = resolved(encoder, warehouse)
    row = waivers.grant(open_warehouse(warehouse), name, spec, metric, code, checked_ticket, until.date())
    if json:
        print_json(row)
        return
    echo(
        f"{name}: the gate lets {spec.ref} pass for {metric} until {row['expires_at']:%Y-%m-%d %H:%M} UTC "
        f"({row['reason']}, {row['ticket']})."
    )


def list_waivers(warehouse: WarehouseFile = None, json: Json = False) -> None:
    """List every exception from a leakage gate, the newest first, and whether it is still valid."""
    from rawless.audit.waivers import waivers
    from rawless.connect import open_warehouse

    rows = waivers(open_warehouse(warehouse))
    shortened = [{**row, "encoder_fingerprint": row["encoder_fingerprint"][:12]} for row in rows]
    print_json(rows) if json else print_table([{name: row[name] for name in _COLUMNS} for row in shortened])

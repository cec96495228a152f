"""`rawless encoder retire`: delete the rows that a stream has of an encoder that nothing needs any more."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rawless.cli.commands.encoder import Ref, resolved
from rawless.cli.commands.encoder_adopt import StreamArgument
from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, print_json, progress, warn

if TYPE_CHECKING:
    from rawless.lifecycle.retirement import Retirement


def retire(
    stream: StreamArgument,
    encoder: Ref,
    heads: Annotated[
        Path | None,
        typer.Option("--heads", help="The folder of heads that services read. By default the local one."),
    ] = None,
    keep_snapshots: Annotated[
        bool,
        typer.Option("--keep-snapshots", help="Accept that snapshots with its vectors cannot be built again."),
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say what it would delete, and delete nothing.")] = False,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Delete a stream's rows of an encoder, and let no job log any again. Refused while something needs them.

    Rejections, predictions, audits and snapshots remain. One that was interrupted is finished by the same command.
    """
    from rawless.connect import open_warehouse
    from rawless.events.stream import load_stream
    from rawless.lifecycle import retirement
    from rawless.lifecycle.migration import stream_encoders
    from rawless.local import home
    from rawless.warehouse.stream_pointers import read

    loaded, opened = load_stream(stream), open_warehouse(warehouse)
    spec = resolved(encoder, warehouse)
    encoders, pointers = stream_encoders(opened, loaded, spec), read(opened, loaded.stream)
    planned = retirement.plan_retirement(
        opened, encoders, spec, pointers, heads or home.heads(), keep_snapshots=keep_snapshots
    )
    hours = retirement.time_travel_hours(opened)
    for adapter in planned.adapters:
        warn(f"{adapter} maps vectors of {spec.ref}: without their rows, `rawless encoder backfill` finds none here.")
    if plan:
        remaining = planned.rows
    else:
        with progress(f"Deleting the rows of {spec.ref}"):
            retirement.retire(opened, planned, pointers)
            remaining = retirement.logged_rows(opened, loaded.stream, spec.fingerprint)
    if json:
        print_json({**asdict(planned), "planned": plan, "rows_left": remaining.row_count, "time_travel_hours": hours})
        return
    _print(planned, hours, remaining.row_count, planned=plan)


def _print(retirement: "Retirement", hours: int | None, rows_left: int, *, planned: bool) -> None:
    from rawless.quantities import format_bytes

    of, count, size = retirement, retirement.rows.row_count, format_bytes(retirement.size)
    if planned:
        echo(f"{of.encoder} would be retired for {of.stream}: {count:,} rows, about {size}, would be deleted.")
    else:
        again = " again" if of.was_retired else ""
        echo(f"{of.encoder} is retired for {of.stream}{again}: {count:,} rows before, {rows_left:,} now.")
        echo(f"About {size} are free.")
    echo("The size is that of logical bytes, as BigQuery counts them, computed from the columns and the dimension.")
    if hours:
        echo(f"BigQuery can restore the rows, and bills them where storage is physical, for {hours / 24:g} days.")
    if of.snapshots:
        echo(f"Snapshots that can be read but not be built again: {', '.join(of.snapshots)}.")
    if of.heads:
        echo(f"Deployed heads that are not called any more: {', '.join(of.heads)}.")
    echo("Its rejections, predictions and audits remain. No job of this stream starts with it any more.")

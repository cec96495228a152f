"""`rawless encoder adopt` and `rawless encoder roles`: move a stream from one encoder to another."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rawless.cli.commands.encoder import Ref, resolved
from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, print_json, print_table, warn
from rawless.errors import UserError

if TYPE_CHECKING:
    from rawless.lifecycle.migration import Move
    from rawless.warehouse.stream_pointers import Change

StreamArgument = Annotated[Path, typer.Argument(help="The stream file.")]


def adopt(
    stream: StreamArgument,
    encoder: Ref,
    to: Annotated[Literal["shadow", "dual", "live"] | None, typer.Option("--to", help="The next role.")] = None,
    back: Annotated[
        bool, typer.Option("--back", help="One step back: live to dual, dual to shadow. See also --to.")
    ] = False,
    heads: Annotated[
        Path | None,
        typer.Option("--heads", help="The folder of heads that services read. By default the local one."),
    ] = None,
    without_heads: Annotated[
        bool, typer.Option("--without-heads", help="Nothing serves this stream, so no head has to be deployed.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say what it would do, and change nothing.")] = False,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Move an encoder of a stream one step on its way from shadow to dual to live, or one step back."""
    from rawless.connect import open_warehouse
    from rawless.events.stream import load_stream
    from rawless.lifecycle import migration
    from rawless.local import home
    from rawless.warehouse.stream_pointers import point, read

    if back == (to is not None):
        raise UserError("Say where the encoder goes: --to shadow, --to dual, --to live, or one step --back.")
    if without_heads and heads is not None:
        raise UserError("--without-heads says that nothing serves the stream: leave it or --heads out.")
    loaded, opened = load_stream(stream), open_warehouse(warehouse)
    spec, folder = resolved(encoder, warehouse), None if without_heads else heads or home.heads()
    encoders, before = migration.stream_encoders(opened, loaded, spec), read(opened, loaded.stream)
    move = (
        migration.move_forward(opened, encoders, spec, before, to, folder)
        if to
        else migration.move_back(opened, encoders, spec, before, folder)
    )
    for warning in move.warnings:
        warn(warning)
    if not plan:
        point(opened, before, move.roles)
    if json:
        print_json({**asdict(move), "planned": plan})
    else:
        _print_move(move, planned=plan)


def roles(
    stream: Annotated[str, typer.Argument(help="The stream file, or the stream's name.")],
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Show which encoder of a stream has which role since when, and the roles that it had before."""
    from rawless.connect import open_warehouse
    from rawless.events.stream import load_stream
    from rawless.lifecycle.migration import roles_since
    from rawless.warehouse.encoder_registry import registered
    from rawless.warehouse.stream_pointers import read

    loaded = load_stream(Path(stream)) if stream.endswith((".yaml", ".yml")) else None
    opened = open_warehouse(warehouse)
    pointers = read(opened, loaded.stream if loaded else stream)
    refs = {spec.fingerprint: spec.ref for spec in registered(opened)}
    current, history = _rows(roles_since(pointers), refs), _rows(pointers.history, refs)
    if json:
        print_json({"stream": pointers.stream, "roles": current, "history": history})
        return
    if not history:
        first = f", {loaded.encoders[0]}," if loaded else ""
        echo(f"{pointers.stream} has no pointers: the first encoder of its file{first} is live.")
        return
    print_table(current, f"{pointers.stream}, now")
    print_table(history, "All changes")


def _rows(changes: "Sequence[Change]", refs: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"encoder": refs.get(each.fingerprint, "not registered"), "role": each.role, "since": each.since,
         "fingerprint": each.fingerprint[:12]}
        for each in changes
    ]  # fmt: skip


def _print_move(move: "Move", *, planned: bool) -> None:
    verb = "would be" if planned else "is now"
    before = f", it was {move.before}" if move.before else ""
    echo(f"{move.encoder} {verb} {move.after} for {move.stream}{before}.")
    if move.live_before != move.live_after:
        echo(f"The live encoder {verb} {move.live_after} instead of {move.live_before}.")
    if move.heads:
        echo(f"Heads that answer: {', '.join(move.heads)}.")
    echo(move.meaning)

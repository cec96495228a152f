"""`rawless subjects sync`: plain customer ids of a business table into the subject map."""

from typing import Annotated

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import print_json, progress, say

app = typer.Typer(help="The map between customers and pseudonyms.", no_args_is_help=True)


@app.callback()
def _subjects() -> None:
    """Keeps `sync` a command of its own while it is the only one."""


@app.command()
def sync(
    origin: Annotated[str, typer.Option("--from", help="TABLE.COLUMN of the events dataset, or DATASET.TABLE.COLUMN.")],
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Give every customer of a column a pseudonym in the subject map, so that SQL can join tables of plain ids.

    Run it again when customers have come, and after the pseudonym key has changed: persons stay the same.
    """
    from rawless.connect import open_key_source, open_warehouse
    from rawless.warehouse import subjects

    column = subjects.business_column(origin)
    place = open_warehouse(warehouse)
    key = open_key_source(place).load()
    synced = subjects.Synced()
    with progress(f"Mapping customers of {origin}", lambda: f"{synced.new:,} new"):
        subjects.sync(place, column, key, synced)
    if json:
        print_json({"from": origin, "subject_key_id": key.key_id, **vars(synced)})
        return
    without = f"; {synced.without_id:,} rows have no id" if synced.without_id else ""
    say(f"{synced.new:,} customers of {origin} are new in the subject map, {synced.known:,} were there{without}.")
    if synced.unusable:
        say(
            f"{synced.unusable:,} ids were left out, as no event can carry them: longer than "
            f"{subjects.MAX_ID_LENGTH} characters, or not printable."
        )

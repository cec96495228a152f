"""`rawless subjects sync`: add the customer ids of a business table to the subject map."""

from typing import Annotated

import typer

from rawless.cli.options import Json, SubjectForm, WarehouseFile
from rawless.cli.output import echo, print_json, progress

app = typer.Typer(help="Maintain the map between customers and pseudonyms.", no_args_is_help=True)


@app.callback()
def _subjects() -> None:
    """Keep `sync` a subcommand while it is the only one."""


@app.command()
def sync(
    origin: Annotated[str, typer.Option("--from", help="TABLE.COLUMN in the events dataset, or DATASET.TABLE.COLUMN.")],
    subject_form: SubjectForm = "",
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Add a pseudonym for every customer id of a column to the subject map, so that SQL can join business tables.

    Run it again when there are new customers, and after a change of the pseudonym key.
    Each customer keeps the same person key.
    """
    from rawless.connect import open_key_source, open_warehouse
    from rawless.privacy.subject_ids import MAX_SUBJECT_LENGTH, parse_steps
    from rawless.warehouse import subjects

    column, form = subjects.business_column(origin), parse_steps(subject_form)
    opened = open_warehouse(warehouse)
    key = open_key_source(opened).load()
    synced = subjects.SyncProgress()
    with progress(f"Mapping customers of {origin}", lambda: f"{synced.new:,} new"):
        subjects.sync(opened, column, key, synced, form)
    if json:
        print_json({"from": origin, "subject_key_id": key.key_id, **vars(synced)})
        return
    echo(f"{origin}: {synced.new:,} customers added to the subject map, {synced.known:,} already in it.")
    if synced.without_id:
        echo(f"{synced.without_id:,} rows have no id.")
    if synced.unusable:
        echo(
            f"{synced.unusable:,} ids were skipped because no event can carry them: they are longer than "
            f"{MAX_SUBJECT_LENGTH} characters, contain unprintable characters, or have outer blanks, which "
            "--subject-form trim removes."
        )

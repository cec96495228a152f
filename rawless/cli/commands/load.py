"""`rawless load`: load a file into a business table."""

from pathlib import Path
from typing import Annotated

import typer

from rawless.cli.options import Json, SubjectForm, WarehouseFile
from rawless.cli.output import echo, print_json
from rawless.errors import UserError


def load(
    table: Annotated[str, typer.Argument(help="TABLE in the events dataset, or DATASET.TABLE.")],
    file: Annotated[Path, typer.Argument(help="A .csv, .jsonl or .parquet file.")],
    pseudonymise: Annotated[
        str | None, typer.Option(help="Replace this column of subject ids by subject_key and subject_key_id.")
    ] = None,
    subject_form: SubjectForm = "",
    text: Annotated[
        list[str] | None,
        typer.Option(help="A column that contains free text on purpose; any other is refused. Repeatable."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the table's rows instead of adding.")] = False,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Load a file of business data (closed accounts, confirmations) into a table with the file's columns and types."""
    from rawless.connect import open_key_source, open_warehouse
    from rawless.privacy.subject_ids import parse_steps
    from rawless.warehouse import tables
    from rawless.warehouse.load import load_file

    if table.split(".")[-1].lower() in (*tables.names(), *tables.functions()):
        raise UserError(f"{table} is a table of Rawless, which only its jobs write: choose another name.")
    opened = open_warehouse(warehouse)
    key = open_key_source(opened).load() if pseudonymise else None
    form = parse_steps(subject_form)
    rows, columns = load_file(
        opened, table, file, key=key, subject_column=pseudonymise, subject_form=form, text=text or (), replace=replace
    )
    if json:
        print_json({"table": table, "rows": rows, "columns": columns})
    else:
        echo(f"Loaded {rows:,} rows into {table} ({', '.join(columns)}).")

"""`rawless load`: load a file into a business table."""

from pathlib import Path
from typing import Annotated

import typer

from rawless.cli.options import Json, SubjectForm, WarehouseFile
from rawless.cli.output import echo, print_json, progress
from rawless.errors import UserError


def load(
    table: Annotated[str, typer.Argument(help="TABLE in the events dataset, or DATASET.TABLE.")],
    file: Annotated[Path, typer.Argument(help="A .csv, .jsonl or .parquet file; the first two may be compressed.")],
    pseudonymise: Annotated[
        str | None, typer.Option(help="Replace this column of subject ids by subject_key and subject_key_id.")
    ] = None,
    subject_form: SubjectForm = "",
    text: Annotated[
        list[str] | None,
        typer.Option(help="A column that contains free text on purpose; any other is refused. Repeatable."),
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option(help="The types of the columns, in BigQuery's JSON format; by default they are inferred."),
    ] = None,
    append: Annotated[bool, typer.Option("--append", help="Add the rows to a table that has some.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the table, its rows and its types.")] = False,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Load a file of business data (closed accounts, confirmations) into a table with the file's columns.

    The types of a new table are inferred: identifiers are text, whatever they look like. Afterwards they are fixed.
    """
    from rawless.connect import open_key_source, open_warehouse
    from rawless.privacy.subject_ids import parse_steps
    from rawless.warehouse import tables
    from rawless.warehouse.load import load_file

    if table.split(".")[-1].lower() in (*tables.names(), *tables.functions()):
        raise UserError(f"{table} is a table of Rawless, which only its jobs write: choose another name.")
    if append and replace:
        raise UserError("--append and --replace exclude each other: leave one out.")
    opened = open_warehouse(warehouse)
    with progress(f"Loading {table}"):
        rows, types = load_file(
            opened,
            table,
            file,
            existing="append" if append else "replace" if replace else "refuse",
            schema=schema,
            key=open_key_source(opened).load() if pseudonymise else None,
            subject_column=pseudonymise,
            subject_form=parse_steps(subject_form),
            text=text or (),
        )
    columns = {name: str(kind) for name, kind in types.items()}
    if json:
        print_json({"table": table, "rows": rows, "columns": columns})
    else:
        echo(f"Loaded {rows:,} rows into {table} ({', '.join(f'{name} {kind}' for name, kind in columns.items())}).")

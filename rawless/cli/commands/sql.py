"""`rawless sql`: run one query on the warehouse."""

from typing import Annotated

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import print_json, print_table


def sql(
    query: Annotated[
        str, typer.Argument(help="A GoogleSQL statement; tables of the events dataset need no dataset prefix.")
    ],
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Run a query and print its rows."""
    from rawless.connect import open_warehouse

    rows = open_warehouse(warehouse).query(query)
    if json:
        print_json(rows)
    else:
        print_table(rows)

"""`rawless audit readers`: who read which table when."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import print_json, print_table, warn

_COLUMNS = ("day", "account", "on_behalf_of", "table_name", "action", "accesses", "last_job")


def readers(
    table: Annotated[
        str | None,
        typer.Option(help="TABLE or DATASET.TABLE. By default all tables with embeddings.", show_default=False),
    ] = None,
    since: Annotated[
        str, typer.Option(metavar="DURATION", help="How far to look back, such as 12h, 30d or 2w.")
    ] = "30d",
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """List who read and who changed tables with embeddings, by day; persons first, then jobs and services.

    On Google Cloud the answer comes from the audit logs, locally from a record of the local BigQuery.
    """
    from rawless.audit.readers import readers as find
    from rawless.config import parse_duration
    from rawless.connect import open_warehouse

    begin = datetime.now(UTC) - parse_duration(since, "--since")
    found = sorted(find(open_warehouse(warehouse), begin, table), key=lambda access: not access.by_person)
    if table is not None and not found:
        warn(f"No access to {table} since {begin:%Y-%m-%d} is recorded; a misspelt name has none either: check it.")
    if json:
        print_json([{**asdict(access), "by_person": access.by_person} for access in found])
        return
    for title, by_person in (("Persons", True), ("Service accounts", False)):
        rows = [{name: getattr(access, name) for name in _COLUMNS} for access in found if access.by_person is by_person]
        if rows or by_person:
            print_table(rows, title)

"""`rawless callers`: which caller of a service a `caller_key` in logged rows means."""

from pathlib import Path
from typing import Annotated

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import print_json, print_table


def callers(
    file: Annotated[Path, typer.Argument(metavar="CONFIG", help="The service file, or a former version of it.")],
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """List the callers in a service file with the ids that rows of logged requests contain (caller_key)."""
    from rawless.config import read_yaml
    from rawless.connect import find_key_source
    from rawless.errors import UserError
    from rawless.serving.callers import list_callers
    from rawless.serving.config import ServeConfig

    access = read_yaml(file, ServeConfig, what="service file").access  # without the streams, which may have moved
    if access is None:
        raise UserError(f"The service file {file} has no access, so no row contains the id of a caller.")
    rows = [caller._asdict() for caller in list_callers(access, find_key_source(warehouse).load())]
    if json:
        print_json({"callers": rows})
    else:
        print_table(rows)

"""The options that every command shares."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
WarehouseFile = Annotated[
    Path | None, typer.Option("--warehouse", help="A warehouse file; without it, the local stack.", show_default=False)
]

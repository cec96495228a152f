"""`rawless encoder bake`: put weights into a container image, verified by digest and golden probe."""

import os
from pathlib import Path
from typing import Annotated

import typer

from rawless.cli.options import Json
from rawless.cli.output import echo, print_json, progress
from rawless.errors import UserError


def bake(
    refs: Annotated[list[str], typer.Argument(metavar="REF...", help="NAME@VERSION, or the path of a spec file.")],
    into: Annotated[
        Path | None,
        typer.Option(
            "--into", help="Copy files to weights/ and specs to specs/ below this folder, instead of RAWLESS_WEIGHTS."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Copy encoders' files into RAWLESS_WEIGHTS, verify their digests, and check each encoder's golden probe.

    With --into, RAWLESS_WEIGHTS and RAWLESS_SPECS are only where files and specs are looked for.
    """
    from encoders.bake import bake as copy_files
    from encoders.bake import bake_into
    from encoders.catalogue import lookup
    from encoders.weight_sources import WEIGHTS_VARIABLE

    root = os.environ.get(WEIGHTS_VARIABLE, "")
    if not (into or root):
        raise UserError(f"{WEIGHTS_VARIABLE} is not set: set it to the folder that the image will use, or give --into.")
    specs = [lookup(ref) for ref in refs]
    from encoders.load import load

    rows = []
    for spec in specs:
        with progress(f"Baking {spec.ref}"):
            folders = bake_into(spec, into) if into else copy_files(spec, Path(root))
            load(spec, "cpu")
        rows.append({"encoder": spec.ref, "fingerprint": spec.fingerprint, "folders": [str(each) for each in folders]})
    if json:
        print_json(rows)
        return
    for row in rows:
        where = (
            f"is in {', '.join(row['folders'])}" if row["folders"] else "needs no file (its weights come from a seed)"
        )
        echo(f"{row['encoder']} {where} and reproduces its golden probe.")

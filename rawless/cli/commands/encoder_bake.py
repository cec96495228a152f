"""`rawless encoder bake`: weights into an image, proven by digest and probe."""

import os
from pathlib import Path
from typing import Annotated

import typer

from rawless.cli.options import Json
from rawless.cli.output import print_json, progress, say
from rawless.errors import UserError


def bake(
    refs: Annotated[list[str], typer.Argument(metavar="REF...", help="name@version, or the path of a spec.")],
    json: Json = False,
) -> None:
    """Put encoders' files below RAWLESS_WEIGHTS, by digest, and hold each encoder against its golden probe there."""
    from encoders.bake import bake as put
    from encoders.catalogue import lookup
    from encoders.load import load
    from encoders.weights import WEIGHTS_VARIABLE

    root = os.environ.get(WEIGHTS_VARIABLE)
    if not root:
        raise UserError(f"{WEIGHTS_VARIABLE} is not set: set it to the folder that the image will name by it.")
    rows = []
    for ref in refs:
        with progress(f"Baking {ref}"):
            spec = lookup(ref)
            place = put(spec, Path(root))
            load(spec, "cpu")
        rows.append({"encoder": spec.ref, "fingerprint": spec.fingerprint, "folder": place and str(place)})
    if json:
        print_json(rows)
        return
    for row in rows:
        say(f"{row['encoder']} lies in {row['folder'] or 'no file: it is drawn from a seed'} and gives its probe.")

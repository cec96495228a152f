"""`rawless encoder seal`: write the sealed spec of an encoder whose weights are on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from rawless.cli.commands.encoder import Ref
from rawless.cli.options import Json
from rawless.cli.output import echo, print_json, progress


def seal(
    ref: Ref,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file of the spec. By default NAME@VERSION.yaml in this folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    json: Json = False,
) -> None:
    """Seal an encoder with the weights on this machine, and write its spec to a file, without a warehouse."""
    from encoders.catalogue import lookup
    from encoders.importing.spec_file import check_free, write_sealed

    spec = lookup(ref)
    path = out or Path(f"{spec.ref}.yaml")
    check_free(path, force=force)
    from encoders.load import load
    from encoders.seal import seal as add_digests

    with progress(f"Sealing {spec.ref}"):
        spec = spec if spec.sealed else add_digests(spec)
        load(spec)
    write_sealed(path, spec, force=force)
    if json:
        print_json({"file": str(path), "encoder": spec.ref, "fingerprint": spec.fingerprint})
    else:
        echo(f"{spec.ref} is sealed in {path}: fingerprint {spec.fingerprint}.")

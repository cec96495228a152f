"""`rawless encoder compose`: make one encoder of several, whose vectors are concatenated."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rawless.cli.commands.encoder import resolved
from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, print_json, progress
from rawless.errors import UserError

if TYPE_CHECKING:
    from encoders.spec import EncoderSpec


def compose(
    encoders: Annotated[list[str], typer.Argument(metavar="ENCODER...", help="NAME@VERSION, or the path of a spec.")],
    ref: Annotated[str, typer.Option("--as", help="The name and version of the new encoder, as in two-layers@1.0.0.")],
    weights: Annotated[
        str | None, typer.Option("--weights", help="A factor for the vector of each, as in 1,0.5. By default all 1.")
    ] = None,
    keep_lengths: Annotated[
        bool, typer.Option("--keep-lengths", help="Do not scale the vector of each to length one first.")
    ] = False,
    l2_normalise: Annotated[
        bool, typer.Option("--l2-normalise", help="Scale the whole vector to length one, after they were joined.")
    ] = False,
    reads: Annotated[
        str | None,
        typer.Option("--reads", help="The part of an event that each reads, as in photo,caption."),
    ] = None,
    missing: Annotated[
        Literal["reject", "zeros"] | None,
        typer.Option("--missing", help="With --reads: what an event without one of the parts gets."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file of the spec. By default NAME@VERSION.yaml in this folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Concatenate the vectors of encoders on the same content, seal the result, and write its spec as a file.

    With --reads they read the named parts of events, such as an image and its caption.
    """
    from encoders.compose import compose as make
    from encoders.importing.decisions import Decisions
    from encoders.importing.importer import split_ref
    from encoders.importing.spec_file import check_free, write_spec

    as_ref, path = split_ref(ref), out or Path(f"{ref}.yaml")
    if len(encoders) < 2:
        raise UserError("A composite has two encoders or more: name another.")
    check_free(path, force=force)
    specs = [resolved(encoder, warehouse) for encoder in encoders]
    factors = _numbers(weights) if weights is not None else [1.0] * len(specs)
    with progress(f"Composing {ref}"):
        made = make(
            specs,
            as_ref.name,
            as_ref.version,
            weights=factors,
            normalise_parts=not keep_lengths,
            l2_normalise=l2_normalise,
            reads=reads.split(",") if reads else (),
            missing=missing,
        )
        write_spec(path, made, Decisions(), " and ".join(spec.ref for spec in specs), force=force)
    if json:
        print_json({"file": str(path), "encoder": made.ref, "fingerprint": made.fingerprint, **_described(made)})
        return
    echo(f"{made.ref} is sealed in {path}: dimension {made.dimension}, fingerprint {made.fingerprint}.")
    echo("A change of any of its parts is a change of the whole: compose it again under another version.")


def _numbers(text: str) -> list[float]:
    try:
        return [float(each) for each in text.split(",")]
    except ValueError:
        raise UserError(f"--weights is {ascii(text)[:80]}, but the rule is: numbers, as in 1,0.5.") from None


def _described(spec: "EncoderSpec") -> dict[str, object]:
    return {"dimension": spec.dimension, "tolerance": spec.tolerance}

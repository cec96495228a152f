"""`rawless encoder defend`: make an encoder whose vectors reveal less of one that is there."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rawless.cli.commands.encoder import Ref, guarantee, print_guarantee, resolved
from rawless.cli.options import DeviceName, Json, WarehouseFile
from rawless.cli.output import echo, print_json, progress
from rawless.errors import UserError

if TYPE_CHECKING:
    from encoders.learned_projection import AffineMap
    from encoders.spec import EncoderSpec


def defend(
    encoder: Ref,
    ref: Annotated[
        str, typer.Option("--as", help="The name and version of the new encoder, as in minilm-defended@1.0.0.")
    ],
    truncate: Annotated[int | None, typer.Option("--truncate", min=1, help="Keep the first values.")] = None,
    project: Annotated[
        int | None, typer.Option("--project", min=1, help="Project at random to this dimension.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The seed of the random projection; no secret.")] = 0,
    learn: Annotated[
        Path | None,
        typer.Option(
            "--learn",
            help="JSON Lines or CSV with `text` (or `file`) and labels: learn the projection that keeps them.",
        ),
    ] = None,
    keep: Annotated[list[str] | None, typer.Option("--keep", help="A column of --learn to keep; repeatable.")] = None,
    lose: Annotated[list[str] | None, typer.Option("--lose", help="A column of --learn to lose; repeatable.")] = None,
    lose_words: Annotated[
        int, typer.Option("--lose-words", min=0, max=2000, help="Avoid telling so many of the most frequent words.")
    ] = 0,
    dimension: Annotated[
        int | None,
        typer.Option("--dimension", min=1, help="Of the learned projection. By default what the labels need."),
    ] = None,
    clip: Annotated[
        float | None, typer.Option("--clip", help="The largest length of a vector. By default 1 with --noise.")
    ] = None,
    noise: Annotated[float | None, typer.Option("--noise", help="The standard deviation of Gaussian noise.")] = None,
    quantise: Annotated[int | None, typer.Option("--quantise", help="Round to so many bits, 1 to 16.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file of the spec. By default NAME@VERSION.yaml in this folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    device: DeviceName = "auto",
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Add a defence to an encoder, seal the result, and write its spec as a file.

    With --learn it reads raw content, so run it where that may be read; only the projection is written.
    """
    from encoders.defend import check_defensible
    from encoders.defend import defend as make
    from encoders.importing.decisions import Decisions
    from encoders.importing.importer import split_ref
    from encoders.importing.spec_file import check_free, write_spec

    as_ref, path, spec = split_ref(ref), out or Path(f"{ref}.yaml"), resolved(encoder, warehouse)
    check_free(path, force=force)
    check_defensible(spec, learned=learn is not None)
    _check_options(learn, keep or [], lose or [], lose_words, dimension, truncate or project)
    steps: dict[str, Any] = {
        "truncate": truncate,
        "project": {"dimension": project, "seed": seed} if project else None,
        "clip": 1.0 if clip is None and noise is not None else clip,
        "noise": None if noise is None else {"sigma": noise},
        "quantise": None if quantise is None else {"bits": quantise},
    }
    with progress(f"Defending {spec.ref}"):
        learned = None if learn is None else _learn(spec, learn, keep or [], lose or [], lose_words, dimension, device)
        present = {name: value for name, value in steps.items() if value is not None}
        made = make(spec, as_ref.name, as_ref.version, present, learned, path.absolute().with_suffix(""))
        write_spec(path, made, Decisions(), f"{spec.ref} with a defence", force=force)
    if json:
        print_json(
            {"file": str(path), "encoder": made.ref, "fingerprint": made.fingerprint, "parent": spec.ref}
            | {"dimension": made.dimension, "differential_privacy": guarantee(made)}
        )
        return
    echo(f"{made.ref} is sealed in {path}: dimension {made.dimension}, fingerprint {made.fingerprint}.")
    echo(f"A head of {spec.ref} does not take its vectors: ingest by {made.ref} and train again.")
    print_guarantee(made)


def _check_options(
    learn: Path | None, keep: list[str], lose: list[str], lose_words: int, dimension: int | None, other: int | None
) -> None:
    if learn is None and (keep or lose or lose_words or dimension):
        raise UserError("--keep, --lose, --lose-words and --dimension are of a learned projection: add --learn FILE.")
    if learn is not None and not keep:
        raise UserError("--learn needs the labels that the projection keeps: name a column by --keep.")
    if learn is not None and other:
        raise UserError("--learn chooses the directions that remain: leave --truncate and --project out.")


def _learn(
    spec: "EncoderSpec", path: Path, keep: list[str], lose: list[str], words: int, dimension: int | None, device: Any
) -> "AffineMap":
    from encoders.load import load
    from rawless.audit.defences.labelled_file import read_labelled
    from rawless.audit.defences.learn_projection import learn_projection

    items = read_labelled(path, "--learn", [*keep, *lose], load(spec, device))
    return learn_projection(items, keep, lose, words, dimension)

"""`rawless encoder import`: make a sealed spec of a model that was trained elsewhere."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rawless.cli.options import Json
from rawless.cli.output import echo, print_json, print_table, progress

if TYPE_CHECKING:
    from encoders.importing.importer import Imported
    from rawless.lifecycle.library_comparison import Comparison

_LONGEST_VALUE = 100


def import_encoder(
    source: Annotated[str, typer.Argument(help="The folder of a Hugging Face model, or hf:OWNER/NAME.")],
    ref: Annotated[str, typer.Option("--as", help="The name and version of the encoder, as in minilm@1.0.0.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The file of the spec. By default NAME@VERSION.yaml in this folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    compare: Annotated[
        Path | None,
        typer.Option(
            "--compare",
            exists=True,
            help="A text file or a folder of images: compare its vectors with those of the model's library.",
        ),
    ] = None,
    modality: Annotated[
        Literal["text", "image"] | None,
        typer.Option("--modality", help="The tower, of a model that has one for texts and one for images."),
    ] = None,
    pooling: Annotated[
        str | None, typer.Option("--pooling", help="By default that of 1_Pooling/config.json, else mean for texts.")
    ] = None,
    layer: Annotated[int | None, typer.Option("--layer", help="The hidden state. By default -1, the last one.")] = None,
    dimension: Annotated[
        int | None, typer.Option("--dimension", help="Keep the first values of a vector. By default all.", min=1)
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", help="By default what the files say, else what the model has positions for."),
    ] = None,
    prompt_document: Annotated[
        str | None, typer.Option("--prompt-document", help="Written before each event. By default that of the files.")
    ] = None,
    prompt_query: Annotated[
        str | None, typer.Option("--prompt-query", help="Written before each query. By default that of the files.")
    ] = None,
    training_domain: Annotated[
        str | None,
        typer.Option("--training-domain", help="What it was trained on. By default the data sets of the model card."),
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="The precision in which it computes. By default fp32.")
    ] = None,
    json: Json = False,
) -> int:
    """Read a model's folder, decide every field of its spec, seal it, and write it as a file."""
    from encoders.importing.importer import import_encoder as make
    from encoders.importing.options import ImportOptions
    from encoders.importing.spec_file import check_free, write_spec
    from encoders.load import load
    from rawless.lifecycle.library_comparison import compare as run
    from rawless.lifecycle.library_vectors import library_of

    given = {**locals()}
    options = ImportOptions(**{option.name: given[option.name] for option in fields(ImportOptions)})
    path = out or Path(f"{ref}.yaml")
    check_free(path, force=force)
    with progress(f"Importing {ref}"):
        imported = make(source, ref, options)
        reference = library_of(imported, options) if compare else None
        write_spec(path, imported.spec, imported.decisions, imported.folder.source, force=force)
        comparison = run(load(imported.spec, "cpu"), reference, compare) if reference and compare else None
    if json:
        print_json(_described(path, imported, comparison))
    else:
        _print(path, imported, comparison)
    return 0 if comparison is None or comparison.agrees else 1


def _described(path: Path, imported: "Imported", comparison: "Comparison | None") -> dict[str, Any]:
    return {
        "file": str(path),
        "encoder": imported.spec.ref,
        "fingerprint": imported.spec.fingerprint,
        "decisions": [decision._asdict() for decision in imported.decisions.made.values()],
        "unmet": [unmet._asdict() for unmet in imported.decisions.unmet],
        "comparison": None
        if comparison is None
        else {
            "compared": comparison.compared,
            "rejected": dict(comparison.rejected),
            "smallest_cosine": comparison.smallest_cosine,
        },
    }


def _print(path: Path, imported: "Imported", comparison: "Comparison | None") -> None:
    spec, decisions = imported.spec, imported.decisions
    rows = [
        {"field": decision.field, "value": _inline(decision.value), "from": decision.origin}
        for decision in decisions.made.values()
    ]
    print_table(rows, f"What was decided about {imported.folder.source}")
    if decisions.unmet:
        print_table([{"not met, or yours to decide": unmet.what, "from": unmet.file} for unmet in decisions.unmet])
    echo(f"{spec.ref} is sealed in {path}: fingerprint {spec.fingerprint}.")
    if comparison is not None:
        _print_comparison(comparison)


def _print_comparison(comparison: "Comparison") -> None:
    rejected = ", ".join(f"{count} {reason}" for reason, count in sorted(comparison.rejected.items()))
    without = f"; rejected by the encoder: {rejected}" if rejected else ""
    if comparison.smallest_cosine is None:
        echo(f"No item was compared with the model's library{without}.")
        return
    verdict = "the same vectors" if comparison.agrees else "other vectors: do not use this spec as that model"
    echo(
        f"{comparison.compared:,} item{'s' * (comparison.compared != 1)} compared with the model's library: smallest "
        f"cosine {comparison.smallest_cosine:.7f}, {verdict}{without}."
    )


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(name if part is None else f"{name} {part!a}" for name, part in value.items())
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:80]}… ({len(text)} characters)"

"""`rawless encoder tune-queries`: tune a copy of an encoder to encode queries, while its documents' vectors stay."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rawless.cli.commands.encoder import Ref, resolved
from rawless.cli.options import BatchSource, Json, Metadata, StreamFile, WarehouseFile
from rawless.cli.output import echo, print_json, print_table, progress_steps

if TYPE_CHECKING:
    from rawless.lifecycle.query_tower import Worth


def tune_queries(
    documents: Ref,
    ref: Annotated[str, typer.Option("--as", help="The name and version of the tower, as in support-queries@1.0.0.")],
    pairs: Annotated[
        str,
        typer.Option(
            "--pairs", help="A snapshot of pairs, left the query and right the document: an id, or a dataset's name."
        ),
    ],
    stream: StreamFile,
    source: BatchSource,
    metadata: Metadata = None,
    positive: Annotated[
        str | None, typer.Option("--positive", help="The class of pairs that match. By default the last one.")
    ] = None,
    layers: Annotated[
        int | None, typer.Option("--layers", min=1, help="Train so many of the last layers. By default all.")
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="At most; training stops early.")] = 20,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="Of AdamW, above 0 and at most 1.")] = 5e-5,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of the order of pairs.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file of the spec. By default NAME@VERSION.yaml in this folder.")
    ] = None,
    register: Annotated[bool, typer.Option("--register", help="Also store the spec in the warehouse.")] = False,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Tune a query tower of an encoder on pairs of a query and a document, and print what it is worth.

    It reads the raw queries from their source, so run it where these may be read. The documents' vectors are those of
    the snapshot; no document is encoded. Only the weights and the spec are written, and only if the tower is better
    than the plain encoder on validation.
    """
    from encoders.importing.decisions import Decisions
    from encoders.importing.importer import split_ref
    from encoders.importing.spec_file import check_free, write_spec
    from rawless.connect import open_warehouse
    from rawless.errors import UserError
    from rawless.lifecycle.finetune_baseline import Content
    from rawless.lifecycle.query_tower import make_tower
    from rawless.lifecycle.tune_queries import TuningOptions
    from rawless.warehouse import encoder_registry

    as_ref, path, spec = split_ref(ref), out or Path(f"{ref}.yaml"), resolved(documents, warehouse)
    check_free(path, force=False)
    if not 0 < learning_rate <= 1:
        raise UserError(f"--learning-rate is {learning_rate:g}, but must be above 0 and at most 1.")
    opened = open_warehouse(warehouse)
    with progress_steps(f"Tuning queries of {spec.ref}") as report_step:
        tower, worth = make_tower(
            opened, spec, pairs, Content(stream, source, metadata, epochs), as_ref.name, as_ref.version, path,
            TuningOptions(epochs, learning_rate, seed), layers, positive, report_step,
        )  # fmt: skip
        write_spec(path, tower, Decisions(), f"{spec.ref} tuned as a query tower", force=False)
        if register:
            encoder_registry.register(opened, tower)
    if json:
        print_json(
            {"file": str(path), "encoder": tower.ref, "fingerprint": tower.fingerprint, "parent": spec.ref}
            | {"queries_of": tower.queries_of, "registered": register, **_worth_json(worth)}
        )
        return
    _print_worth(worth)
    echo(f"{tower.ref} is sealed in {path}: fingerprint {tower.fingerprint}, queries of {spec.ref}.")
    echo("Its weights were learned from the queries: they stay where these may be read.")


def _worth_json(worth: "Worth") -> dict[str, Any]:
    found = asdict(worth)
    for name, measures in found.items():
        if name not in ("validation", "pairs", "documents"):
            found[name] = {measure.name: measure._asdict() for measure in measures.values()}
    return found


def _print_worth(worth: "Worth") -> None:
    answers = {"plain": worth.plain, "query_transform": worth.query_transform, "tower": worth.tower}
    answers |= {"tower - plain": worth.tower_over_plain, "tower - transform": worth.tower_over_transform}
    rows = [
        {"answered by": name} | {measure: str(value) for measure, value in measures.items()}
        for name, measures in answers.items()
    ]
    print_table(
        rows,
        f"On {worth.pairs['test']:,} test pairs among {worth.documents['test']:,} documents, with 95% intervals",
    )
    validation = worth.validation
    echo(
        f"On validation mrr rose from {validation.before['mrr']:.3f} to {validation.after['mrr']:.3f} in epoch "
        f"{validation.epoch}; trained on {worth.pairs['train']:,} pairs among {worth.documents['train']:,} documents."
    )

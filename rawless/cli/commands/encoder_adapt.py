"""`rawless encoder adapt`: learn a map from the vectors of one encoder into the space of another."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from rawless.cli.commands.encoder import Ref, resolved
from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, print_json, print_table, progress_steps
from rawless.errors import UserError

if TYPE_CHECKING:
    from encoders.adapter import AdapterKind
    from rawless.heads.metrics import Metric
    from rawless.lifecycle.adapter_choice import Judged, Learned
    from rawless.lifecycle.head_changes import HeadChange


def adapt(
    source: Ref,
    target: Ref,
    stream: Annotated[str, typer.Option("--stream", help="The stream whose events both encoders embedded.")],
    ref: Annotated[
        str, typer.Option("--as", help="The name and version of the new encoder, as in minilm-cls-from-mean@1.0.0.")
    ],
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind", help="Try orthogonal, affine, low_rank_affine or residual_mlp; repeatable. By default all."
        ),
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Learn from a sample of at most so many events.")] = 50_000,
    min_recall: Annotated[
        float, typer.Option("--min-recall", min=0, max=1, help="Refuse a map whose recall@10 on test events is lower.")
    ] = 0.9,
    heads: Annotated[
        Path | None, typer.Option("--heads", help="The folder with the heads. By default that of the home folder.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the training and of the intervals.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file of the spec. By default NAME@VERSION.yaml in this folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Learn a map from the vectors of SOURCE into the space of TARGET, and write SOURCE with it as a new encoder.

    It learns from events that both encoders embedded, and reads no content. A map that its own test does not confirm is
    refused, and nothing is written. For new queries in an old index, name the new encoder first.
    """
    from encoders.adapt import adapt as make
    from encoders.adapt import check_adaptable
    from encoders.importing.decisions import Decisions
    from encoders.importing.importer import split_ref
    from encoders.importing.spec_file import check_free, write_spec
    from rawless.connect import open_warehouse
    from rawless.lifecycle.adapter_choice import learn, refuse, tolerance
    from rawless.lifecycle.adapter_heads import heads_through
    from rawless.lifecycle.paired_vectors import paired_vectors
    from rawless.local import home

    kinds = _kinds(kind or [])
    as_ref, path = split_ref(ref), out or Path(f"{ref}.yaml")
    folder = path.absolute().with_suffix("")
    check_free(path, force=force)
    one, other, opened = resolved(source, warehouse), resolved(target, warehouse), open_warehouse(warehouse)
    check_adaptable(one, other, folder)
    with progress_steps(f"Adapting {one.ref} to {other.ref}") as report:
        report("reading events")
        pairs = paired_vectors(opened, stream, one, other, rows)
        learned = learn(pairs, kinds, l2_normalise=other.l2_normalise, seed=seed, report_progress=report)
        if not json:
            _print_kinds(learned, f"{one.ref} into the space of {other.ref}, on {learned.events['test']:,} test events")
        refuse(learned, one, other, min_recall)
        chosen = learned.chosen.adapter
        report("sealing")
        made = make(one, other, chosen, as_ref.name, as_ref.version, folder, tolerance(chosen, one, pairs.first[:1000]))
        write_spec(path, made, Decisions(), f"{one.ref} with an adapter to {other.ref}", force=force)
        report("heads")
        changes = heads_through(
            opened, heads or home.heads(), one, other, chosen, learned.fitted_to, report_progress=report
        )
    if json:
        found: dict[str, Any] = {"file": str(path), "encoder": made.ref, "fingerprint": made.fingerprint}
        found |= {"source": one.ref, "target": other.ref, "stream": stream, "tolerance": made.tolerance}
        print_json(found | _as_json(learned) | {"heads": [head_through_json(each) for each in changes]})
        return
    print_heads_through(changes)
    echo(f"{made.ref} is sealed in {path}: dimension {made.dimension}, fingerprint {made.fingerprint}.")
    echo(
        f"Its vectors are not those of {other.ref}, and datasets and services take them for these only if they say so."
    )


def _kinds(named: list[str]) -> "list[AdapterKind]":
    """Return the kinds that are tried. Raises UserError for one that does not exist."""
    from encoders.adapter import AdapterKind

    known = {kind: kind for kind in get_args(AdapterKind)}
    if unknown := [each for each in named if each not in known]:
        raise UserError(f"--kind is {unknown[0]!r}, but the kinds are {', '.join(known)}: name one of them.")
    return [known[each] for each in named or known]


def _print_kinds(learned: "Learned", title: str) -> None:
    print_table([_kind_row(each, learned) for each in learned.kinds], title)
    controls = ", ".join(f"{name} {recall}" for name, recall in learned.controls.items())
    echo(f"{learned.chosen.settings.kind} was chosen on validation events. recall@10 of controls: {controls}.")
    echo(f"In an index of adapted vectors of the test events, native queries have recall@10 {learned.adapted_index}.")


def _kind_row(judged: "Judged", learned: "Learned") -> dict[str, Any]:
    return {
        "kind": f"{judged.settings.kind}{' (chosen)' if judged is learned.chosen else ''}",
        "settings": str(judged.settings),
        "recall@10": str(judged.recall),
        "cosine": f"{judged.cosine:.3f}",
        "fitted in": f"{judged.seconds:.1f} s",
        "a vector": f"{judged.microseconds:.1f} µs",
    }


def print_heads_through(changes: "Sequence[HeadChange]") -> None:
    """Print what heads answer for native and for adapted vectors."""
    rows = [
        {
            "head": each.head,
            "metric": each.native.name,
            "rows": each.rows["test"],
            "native": str(each.native),
            "adapted": str(each.unchanged),
            "difference": each.unchanged_difference.signed,
        }
        for each in changes
        if each.native and each.unchanged_difference
    ]
    if rows:
        print_table(rows, "Heads on native and on adapted vectors of events to which nothing was fitted")
    for each in changes:
        for reason in each.reasons:
            echo(f"{each.head}: {reason}")


def _as_json(learned: "Learned") -> dict[str, Any]:
    return {
        "chosen": learned.chosen.settings.kind,
        "events": learned.events,
        "kinds": [
            {
                "kind": each.settings.kind,
                "settings": str(each.settings),
                "validation": each.validation,
                "recall@10": _metric(each.recall),
                "cosine": each.cosine,
                "seconds": each.seconds,
                "microseconds": each.microseconds,
            }
            for each in learned.kinds
        ],
        "controls": {name: _metric(recall) for name, recall in learned.controls.items()},
        "adapted_index": _metric(learned.adapted_index),
    }


def head_through_json(change: "HeadChange") -> dict[str, Any]:
    """Return the same of one head."""
    return {
        "head": change.head,
        "snapshot_id": change.snapshot_id,
        "rows": change.rows,
        "native": change.native and _metric(change.native),
        "adapted": change.unchanged and _metric(change.unchanged),
        "difference": change.unchanged_difference and _metric(change.unchanged_difference),
        "reasons": change.reasons,
    }


def _metric(metric: "Metric") -> dict[str, float]:
    return {"value": metric.value, "low": metric.low, "high": metric.high}

"""`rawless encoder compare`: how two encoders differ on the same events, or on the same content."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rawless.cli.commands.encoder import Ref, resolved
from rawless.cli.commands.encoder_adapt import head_through_json, print_heads_through
from rawless.cli.options import DeviceName, Json, WarehouseFile
from rawless.cli.output import echo, print_json, print_table, progress, progress_steps

if TYPE_CHECKING:
    from encoders.spec import EncoderSpec
    from rawless.heads.metrics import Metric
    from rawless.lifecycle.adapter_comparison import AdapterComparison
    from rawless.lifecycle.encoder_comparison import EncoderComparison
    from rawless.lifecycle.head_changes import HeadChange


def compare(
    first: Ref,
    second: Ref,
    stream: Annotated[
        str | None,
        typer.Option("--stream", help="Compare on the events of this stream that carry both.", show_default=False),
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=100, help="The most events to read, a random sample.")] = 50_000,
    k: Annotated[int, typer.Option("--k", min=1, max=1000, help="How many nearest neighbours to compare.")] = 10,
    heads: Annotated[
        Path | None,
        typer.Option("--heads", help="The folder with the heads. By default that of the home folder."),
    ] = None,
    margin: Annotated[
        float, typer.Option("--margin", min=0, max=1, help="What a head may lose, unchanged, and still be compatible.")
    ] = 0.01,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw both maps into this file: .html or .svg.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The seed of the intervals.")] = 0,
    adapter: Annotated[
        str | None,
        typer.Option(
            "--adapter",
            help="An encoder that `encoder adapt` made of FIRST for the space of SECOND: state what it keeps.",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--source", help="Instead, encode this content by both: files:FOLDER or jsonl:FILE."),
    ] = None,
    device: DeviceName = "auto",
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Compare two encoders on a stream's events: neighbours, geometry, and what becomes of the heads of the first.

    With --source, encode the same files or lines by both instead, and print how far their vectors are apart.
    """
    _check_options(stream, source, adapter, picture)
    one, other = resolved(first, warehouse), resolved(second, warehouse)
    if source:
        _compare_content(one, other, source, device, json)
        return
    from rawless.connect import open_warehouse
    from rawless.lifecycle import encoder_comparison
    from rawless.lifecycle.adapter_comparison import check_adapter, compare_adapter
    from rawless.lifecycle.paired_vectors import paired_vectors
    from rawless.local import home

    if picture:
        from rawless.report import check_installed

        check_installed()
    adapted = resolved(adapter, warehouse) if adapter else None
    if adapted:
        check_adapter(adapted, one, other)
    opened = open_warehouse(warehouse)
    with progress_steps(f"Comparing {one.ref} and {other.ref}") as report_step:
        report_step("reading")
        vectors = paired_vectors(opened, str(stream), one, other, rows)
        found = encoder_comparison.compare(
            opened, heads or home.heads(), one, other, vectors, k=k, margin=margin, seed=seed,
            report_progress=report_step,
        )  # fmt: skip
        kept = adapted and compare_adapter(
            opened, heads or home.heads(), adapted, one, other, vectors, is_sample=len(vectors) == rows, k=k, seed=seed,
            report_progress=report_step,
        )  # fmt: skip
        if picture:
            from rawless.report import encoder_map

            report_step("drawing")
            encoder_map.write(found, vectors, picture)
    if json:
        print_json(
            {**_comparison_json(found), "adapter": kept and _adapter_json(kept), "picture": picture and str(picture)}
        )
        return
    _print_comparison(found)
    if kept:
        _print_adapter(kept)
    if picture:
        echo(f"Wrote {picture}. It is as confidential as the embeddings.")


def _check_options(stream: str | None, source: str | None, adapter: str | None, picture: Path | None) -> None:
    from rawless.errors import UserError

    if (stream is None) == (source is None):
        raise UserError("Name either --stream, to compare on logged events, or --source, to encode content by both.")
    if picture and (source or picture.suffix not in (".html", ".svg")):
        raise UserError(f"--picture is {picture}, but must be a file .html or .svg, and needs --stream.")
    if adapter and source:
        raise UserError("--adapter is compared on logged events: name --stream instead of --source.")


def _compare_content(one: "EncoderSpec", other: "EncoderSpec", source: str, device: DeviceName, json: bool) -> None:
    from encoders.load import load
    from rawless.lifecycle import parity

    parity.check_comparable(one, other)
    items = parity.read_items(source, one)
    with progress(f"Comparing {one.ref} and {other.ref}"):
        found = parity.compare(load(one, device), load(other, device), items)
    if json:
        print_json({"first": one.ref, "second": other.ref, **asdict(found)})
        return
    echo(f"{found.items:,} items, of which both encoders accept {found.compared:,}.")
    reasons = {
        "cannot be read": found.unreadable,
        "are rejected by both": found.rejected_by_both,
        f"are rejected by {one.ref} only": found.rejected_by_first,
        f"are rejected by {other.ref} only": found.rejected_by_second,
    }
    for what, count in reasons.items():
        if count:
            echo(f"{count:,} {what}.")
    echo(f"Cosine: smallest {found.smallest_cosine:.7f}, median {found.median_cosine:.7f}.")
    echo(f"Largest difference of a component: {found.largest_difference:.3g}.")


def _comparison_json(found: "EncoderComparison") -> dict[str, Any]:
    space = found.space
    return {
        "first": found.first.ref,
        "second": found.second.ref,
        "stream": found.stream,
        "rows": space.rows,
        "persons": space.persons,
        "k": space.k,
        "queries": space.queries,
        "pairs": [{**each.measure._asdict(), "unrelated": each.unrelated} for each in space.pairs],
        "alone": [
            {"name": each.name}
            | {side: _metric_json(getattr(each, side)) for side in ("first", "second", "difference")}
            for each in space.alone
        ],
        "same_event_cosine": space.same_event_cosine,
        "is_rotation": space.is_rotation,
        "margin": found.margin,
        "heads": [_head_json(each, found.margin) for each in found.heads],
        "compatible": found.is_compatible,
        "bump": found.bump.value,
        "verdict": found.verdict,
        "notes": found.notes,
    }


def _head_json(change: "HeadChange", margin: float) -> dict[str, Any]:
    described = {name: _metric_json(getattr(change, name)) for name in _METRICS}
    return {**vars(change), **described, "holds": change.holds(margin)}


_METRICS = (
    "native", "unchanged", "unchanged_difference", "refitted", "refitted_native", "refitted_difference",
)  # fmt: skip


def _metric_json(metric: "Metric | None") -> dict[str, Any] | None:
    return metric and metric._asdict()


def _print_comparison(found: "EncoderComparison") -> None:
    space, one, other = found.space, found.first.ref, found.second.ref
    print_table(
        [
            {
                "measure": _of_k(each.measure.name, space.k),
                "value": str(each.measure),
                "unrelated": f"{each.unrelated:.3f}",
            }
            for each in space.pairs
        ],
        f"{one} and {other} on {space.rows:,} events of {found.stream}, with 95% intervals",
    )
    if space.queries < space.rows:
        echo(f"Neighbours were sought for {space.queries:,} of the events, each among all.")
    print_table(
        [
            {"measure": each.name, one: str(each.first), other: str(each.second), "difference": str(each.difference)}
            for each in space.alone
        ]
    )
    if space.same_event_cosine is not None:
        echo(f"The mean cosine of an event's two vectors is {space.same_event_cosine:.3f}.")
    if found.heads:
        print_table([_head_row(each, found) for each in found.heads], f"Heads of {one}, on events with both vectors")
    for each in found.heads:
        for reason in each.reasons:
            echo(f"{each.head}: {reason}")
    for note in found.notes:
        echo(note)
    echo(found.verdict)


def _adapter_json(kept: "AdapterComparison") -> dict[str, Any]:
    return {
        "encoder": kept.adapted.ref,
        "k": kept.k,
        "queries": kept.queries,
        "recall": _metric_json(kept.recall),
        "unadapted": _metric_json(kept.unadapted),
        "cosine": kept.cosine,
        "heads": [head_through_json(each) for each in kept.heads],
        "note": kept.note,
    }


def _print_adapter(kept: "AdapterComparison") -> None:
    row = {
        "measure": kept.recall.name,
        "native": "1.000",
        "adapted": str(kept.recall),
        "as they are": str(kept.unadapted),
    }
    print_table(
        [row], f"{kept.adapted.ref}: {kept.queries:,} queries in an index of native vectors of {kept.target.ref}"
    )
    echo(f"The mean cosine of an event's adapted and native vector is {kept.cosine:.3f}.")
    print_heads_through(kept.heads)
    echo(kept.note)


def _of_k(name: str, k: int) -> str:
    return f"{name} at {k}" if name.startswith("neighbour") else name


def _head_row(change: "HeadChange", found: "EncoderComparison") -> dict[str, Any]:
    measured = change.native
    return {
        "head": change.head,
        "metric": measured.name if measured else None,
        "test rows": change.rows.get("test"),
        f"on {found.first.version}": measured and str(measured),
        f"unchanged on {found.second.version}": change.unchanged_difference and change.unchanged_difference.signed,
        f"trained on {found.second.version}": change.refitted_difference and change.refitted_difference.signed,
    }

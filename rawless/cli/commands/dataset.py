"""`rawless dataset`: labelled snapshots, from a spec to files."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import print_json, print_table, progress_bar, say, steps, warn

if TYPE_CHECKING:
    from rawless.datasets.plan import Plan
    from rawless.datasets.snapshots import Manifest

app = typer.Typer(help="Labelled train, validation and test snapshots, built in SQL.", no_args_is_help=True)

DatasetFile = Annotated[Path, typer.Argument(help="The dataset file.")]
AsOf = Annotated[
    datetime | None,
    typer.Option(
        "--as-of", formats=["%Y-%m-%dT%H:%M:%S%z"], help="In place of the file's: what was known at that time."
    ),
]
Reference = Annotated[str, typer.Argument(help="A snapshot's id, or a dataset's name for its newest.")]
_SETTLE = timedelta(hours=1)
_MOVES_SHOWN = 20


@app.command()
def plan(file: DatasetFile, as_of: AsOf = None, warehouse: WarehouseFile = None, json: Json = False) -> None:
    """Print the SQL, its parameters, and what a build would read and cost."""
    from rawless.connect import open_warehouse
    from rawless.datasets.dataset import open_dataset
    from rawless.datasets.plan import check_budget
    from rawless.datasets.plan import plan as make

    dataset = open_dataset(file, as_of)
    found = make(open_warehouse(warehouse), dataset, _settle(warehouse))
    if json:
        print_json(_planned(found))
    else:
        _tell_plan(found)
    check_budget(dataset.spec, found)


@app.command()
def build(file: DatasetFile, as_of: AsOf = None, warehouse: WarehouseFile = None, json: Json = False) -> None:
    """Build the snapshot of a dataset, or find the one that it made before."""
    from rawless.connect import open_warehouse
    from rawless.datasets import plan as plans
    from rawless.datasets.build import build as make
    from rawless.datasets.dataset import open_dataset

    dataset, place = open_dataset(file, as_of), open_warehouse(warehouse)
    with steps(f"Building {dataset.spec.dataset}") as told:
        if dataset.spec.budget:
            plans.check_budget(dataset.spec, plans.plan(place, dataset, _settle(warehouse)))
        built = make(place, dataset, _settle(warehouse), told)
    for sentence in built.warnings:
        warn(sentence)
    if json:
        print_json({**_told(built.manifest), "new": built.is_new, "warnings": built.warnings})
        return
    _tell(built.manifest)
    say("" if built.is_new else "Nothing has changed in the dataset: this is the snapshot that it made before.")


@app.command()
def show(
    reference: Reference,
    verify: Annotated[bool, typer.Option("--verify", help="Build its rows again, and compare.")] = False,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Show a snapshot: its counts, its ledger, and with --verify whether it can be made again. Exit code 1 if not."""
    from rawless.connect import open_warehouse
    from rawless.datasets.snapshots import find
    from rawless.datasets.verify import verify as check

    place = open_warehouse(warehouse)
    manifest = find(place, reference)
    told = _told(manifest)
    if verify:
        with steps(f"Verifying {manifest.snapshot_id}") as hear:
            verdict = check(place, manifest, hear)
        equal = verdict.stored_is_equal and verdict.rebuilt_is_equal
        told |= {"equal": equal, "findings": verdict.findings}
    if json:
        print_json(told)
    else:
        _tell(manifest)
        if verify:
            say(
                "Equal: the rows that are kept, and the rows built again, have the digest of the manifest."
                if equal
                else ""
            )
            for finding in verdict.findings:
                say(f"Not equal: {finding}")
    if verify and not equal:
        raise typer.Exit(1)


@app.command()
def diff(before: Reference, after: Reference, warehouse: WarehouseFile = None, json: Json = False) -> None:
    """Show which rows are in one of two snapshots alone, or have another label or split, and by which rule."""
    from rawless.connect import open_warehouse
    from rawless.datasets.diff import diff as compare
    from rawless.datasets.diff import summed
    from rawless.datasets.snapshots import find

    place = open_warehouse(warehouse)
    one, other = find(place, before), find(place, after)
    with steps("Comparing") as told:
        moves = compare(place, one, other, told)
    if json:
        print_json({"before": one.snapshot_id, "after": other.snapshot_id, "summary": summed(moves),
                    "moves": [vars(move) for move in moves]})  # fmt: skip
        return
    if not moves:
        say(f"{one.snapshot_id} and {other.snapshot_id} have the same rows, labels and splits.")
        return
    print_table(summed(moves), f"From {one.snapshot_id} to {other.snapshot_id}")
    print_table([vars(move) for move in moves[:_MOVES_SHOWN]])
    if len(moves) > _MOVES_SHOWN:
        say(f"{len(moves) - _MOVES_SHOWN:,} more rows: --json has them all.")


@app.command()
def export(
    reference: Reference,
    path: Annotated[Path, typer.Option("--to", help="The Parquet file.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Take the place of a file that is there.")] = False,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Write a snapshot to a Parquet file, which is taken note of: erasure must find every copy."""
    from rawless.connect import open_warehouse
    from rawless.datasets.export import export as write
    from rawless.datasets.snapshots import find

    place = open_warehouse(warehouse)
    manifest = find(place, reference)
    with progress_bar(f"Exporting {manifest.snapshot_id}", manifest.rows) as told:
        rows = write(place, manifest, path, told, overwrite=overwrite)
    if json:
        print_json({"snapshot_id": manifest.snapshot_id, "path": str(path.absolute()), "rows": rows})
    else:
        say(f"{path}: {rows:,} rows of {manifest.snapshot_id}. They are confidential: vectors can be attacked.")


@app.command("list")
def show_all(
    dataset: Annotated[str | None, typer.Argument(help="Of this dataset alone.")] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """List the snapshots, newest first."""
    from rawless.connect import open_warehouse
    from rawless.datasets.snapshots import list_manifests

    found = [
        {"snapshot": each.snapshot_id, "dataset": each.dataset, "as_of": each.as_of, "created_at": each.created_at,
         "rows": each.rows}
        for each in list_manifests(open_warehouse(warehouse), dataset)
    ]  # fmt: skip
    if json:
        print_json(found)
    else:
        print_table(found)


def _settle(warehouse: Path | None) -> timedelta:
    """How long rows may take to arrive: on the cloud an hour."""
    return _SETTLE if warehouse else timedelta(0)


def _planned(found: "Plan") -> dict[str, Any]:
    statements = [
        {"name": each.name, "sql": each.sql, "parameters": _parameters(each.parameters)} for each in found.statements
    ]
    told = {"snapshot_id": found.snapshot_id, "bytes": found.bytes, "dollars": round(found.dollars, 4)}
    return {**told, "reckoned": found.is_reckoned, "near_duplicate_recall": found.recall, "statements": statements}


def _tell_plan(found: "Plan") -> None:
    from rawless.datasets.cost import told

    for each in found.statements:
        say(f"-- {each.name}\n{each.sql}\n")
        for name, value in _parameters(each.parameters).items():
            say(f"--   @{name} = {value}")
        say("")
    source = (
        "reckoned from the widths of columns: nothing is billed here" if found.is_reckoned else "by BigQuery's dry run"
    )
    say(f"Reads at most {told(found.bytes)}, which costs {found.dollars:.2f} US dollars on demand ({source}).")
    if found.recall is not None:
        say(f"Of near duplicates at that cosine, {found.recall:.1%} are expected to be found.")
    say(f"The snapshot's id will be {found.snapshot_id}.")


def _parameters(parameters: Any) -> dict[str, Any]:
    return {each.name: getattr(each, "value", None) if hasattr(each, "value") else each.values for each in parameters}


def _told(manifest: "Manifest") -> dict[str, Any]:
    fields = {
        name: getattr(manifest, name) for name in ("dataset", "snapshot_id", "as_of", "fingerprint", "row_digest")
    }
    parts = {name: [each._asdict() for each in getattr(manifest, name)] for name in ("sources", "ledger", "counts")}
    return {**fields, **parts, "bytes_processed": manifest.bytes_processed, "created_at": manifest.created_at}


def _tell(manifest: "Manifest") -> None:
    from rawless.datasets.spec import SPLITS

    as_of = f"{manifest.as_of:%Y-%m-%d %H:%M:%S %Z}"
    say(f"Snapshot {manifest.snapshot_id} of {manifest.dataset}: {manifest.rows:,} rows as of {as_of}.\n")
    labels = sorted({each.label for each in manifest.counts})
    counts = {(each.label, each.split): each.row_count for each in manifest.counts}
    print_table(
        [
            {"label": label or "(number)"} | {split: counts.get((label, split), 0) for split in SPLITS}
            for label in labels
        ]
    )
    ledger = [each._asdict() | {"left": each.rows_in - each.removed} for each in manifest.ledger]
    print_table([line | {"parameters": _short(line["parameters"])} for line in ledger], "Ledger")


def _short(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in parameters.items())

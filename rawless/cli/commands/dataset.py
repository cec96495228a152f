"""`rawless dataset`: build, inspect, compare and export labelled snapshots."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, note, print_json, print_table, progress_bar, progress_steps, warn

if TYPE_CHECKING:
    from rawless.datasets.plan import Plan
    from rawless.datasets.snapshots import Manifest
    from rawless.datasets.unit_tests import Outcome
    from rawless.datasets.verify import Verdict

app = typer.Typer(help="Build labelled train, validation and test snapshots in SQL.", no_args_is_help=True)

DatasetFile = Annotated[Path, typer.Argument(help="The dataset file.")]
AsOf = Annotated[
    datetime | None,
    typer.Option(
        "--as-of",
        formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z"],
        help="Use what was known at this time; overrides as_of in the file.",
    ),
]
Reference = Annotated[
    str, typer.Argument(help="A snapshot's id, or a dataset's name for the snapshot that was built last.")
]
_MOVES_SHOWN = 20


@app.command()
def plan(file: DatasetFile, as_of: AsOf = None, warehouse: WarehouseFile = None, json: Json = False) -> None:
    """Print the SQL of a build, its parameters, the bytes it reads and the cost, without running it."""
    from rawless.connect import open_warehouse
    from rawless.datasets import own_queries
    from rawless.datasets.build import settle_time
    from rawless.datasets.compile import compile_dataset
    from rawless.datasets.dataset import open_dataset
    from rawless.datasets.plan import check_budget
    from rawless.datasets.plan import plan as make_plan

    dataset = open_dataset(file, as_of)
    compiled = compile_dataset(open_warehouse(warehouse), dataset)
    own_queries.check(compiled, _announce_analyzer)
    planned = make_plan(compiled, settle_time(compiled.warehouse))
    if json:
        print_json(_plan_json(planned))
    else:
        _print_plan(planned)
    check_budget(dataset.spec, planned)


@app.command()
def build(
    file: DatasetFile,
    as_of: AsOf = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read all vectors, and copy no rows of an earlier snapshot.")
    ] = False,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Build the snapshot of a dataset, or find the one that an earlier build created."""
    from rawless.connect import open_warehouse
    from rawless.datasets import own_queries
    from rawless.datasets import plan as plans
    from rawless.datasets.build import build as build_snapshot
    from rawless.datasets.build import settle_time
    from rawless.datasets.compile import compile_dataset
    from rawless.datasets.dataset import open_dataset

    dataset = open_dataset(file, as_of)
    compiled = compile_dataset(open_warehouse(warehouse), dataset)
    own_queries.check(compiled, _announce_analyzer)
    with progress_steps(f"Building {dataset.spec.dataset}") as report_step:
        if dataset.spec.budget:
            plans.check_budget(dataset.spec, plans.plan(compiled, settle_time(compiled.warehouse)))
        built = build_snapshot(compiled, settle_time(compiled.warehouse), report_step, full=full)
    for warning in built.warnings:
        warn(warning)
    if json:
        print_json(
            {**_manifest_json(built.manifest), "new": built.is_new, "warnings": built.warnings, "growth": built.growth}
        )
        return
    _print_manifest(built.manifest)
    if built.growth:
        echo(built.growth)
    if not built.is_new:
        echo("This snapshot was built before; `rawless dataset show --verify` compares it with its sources of now.")


@app.command()
def show(
    reference: Reference,
    verify: Annotated[bool, typer.Option("--verify", help="Rebuild the rows and compare them.")] = False,
    recall: Annotated[
        bool, typer.Option("--recall", help="Estimate from a sample which near duplicates were found; reads vectors.")
    ] = False,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Show a snapshot's counts and ledger.

    With --verify its rows are rebuilt and compared; the exit code is 1 if they differ.
    """
    from rawless.connect import open_warehouse
    from rawless.datasets import erasures
    from rawless.datasets.near_duplicates import recall_of_snapshot
    from rawless.datasets.snapshots import find
    from rawless.datasets.verify import verify as verify_snapshot

    opened = open_warehouse(warehouse)
    manifest = find(opened, reference)
    erased = erasures.list_erasures(opened, manifest.snapshot_id)
    described = _manifest_json(manifest) | {"erased_rows": erasures.erased_rows(erased)}
    if verify:
        with progress_steps(f"Verifying {manifest.snapshot_id}") as report_step:
            verdict = verify_snapshot(opened, manifest, report_step)
        described |= {"equal": verdict.is_equal, "findings": verdict.findings}
    sampled = recall_of_snapshot(opened, manifest) if recall else None
    if sampled:
        described |= {"near_duplicate_recall": sampled._asdict()}
    if json:
        print_json(described)
    else:
        _print_manifest(manifest)
        if erased and not verify:
            echo(f"Rows were erased since: it reproduces {erasures.describe(erased)}.")
        if verify:
            _print_verdict(verdict, erasures.describe(erased) if erased else "")
        if sampled:
            echo(sampled.describe())
    if verify and not verdict.is_equal:
        raise typer.Exit(1)


def _print_verdict(verdict: "Verdict", erased: str) -> None:
    if verdict.is_equal and erased:
        echo(f"Equal: the stored and the rebuilt rows are those of the manifest, {erased}.")
    elif verdict.is_equal:
        echo("Equal: the stored rows and the rebuilt rows have the digest of the manifest.")
    for finding in verdict.findings:
        echo(f"Not equal: {finding}")


@app.command()
def diff(before: Reference, after: Reference, warehouse: WarehouseFile = None, json: Json = False) -> None:
    """Show the rows that differ between two snapshots: added, removed, relabelled or moved, and by which rule."""
    from rawless.connect import open_warehouse
    from rawless.datasets.diff import diff as compare
    from rawless.datasets.diff import summarise
    from rawless.datasets.snapshots import find

    opened = open_warehouse(warehouse)
    old, new = find(opened, before), find(opened, after)
    with progress_steps("Comparing") as report_step:
        moves = compare(opened, old, new, report_step)
    if json:
        print_json({"before": old.snapshot_id, "after": new.snapshot_id, "summary": summarise(moves),
                    "moves": [vars(move) for move in moves]})  # fmt: skip
        return
    if not moves:
        echo(f"{old.snapshot_id} and {new.snapshot_id} have the same rows, labels and splits.")
        return
    print_table(summarise(moves), f"From {old.snapshot_id} to {new.snapshot_id}")
    print_table([vars(move) for move in moves[:_MOVES_SHOWN]])
    if len(moves) > _MOVES_SHOWN:
        echo(f"{len(moves) - _MOVES_SHOWN:,} more rows are not shown; --json prints all of them.")


@app.command()
def export(
    reference: Reference,
    path: Annotated[Path, typer.Option("--to", help="The Parquet file to write.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Write a snapshot to a Parquet file, and record the copy so that erasure can find it."""
    from rawless.connect import open_warehouse
    from rawless.datasets.export import export as write
    from rawless.datasets.snapshots import find

    opened = open_warehouse(warehouse)
    manifest = find(opened, reference)
    with progress_bar(f"Exporting {manifest.snapshot_id}", manifest.rows) as report_rows:
        rows = write(opened, manifest, path, report_rows, overwrite=overwrite)
    if json:
        print_json({"snapshot_id": manifest.snapshot_id, "path": str(path.absolute()), "rows": rows})
    else:
        echo(
            f"Wrote {rows:,} rows of {manifest.snapshot_id} to {path}. They are confidential: embeddings can be "
            "attacked."
        )


@app.command("test")
def run_unit_tests(
    path: Annotated[
        Path, typer.Argument(help="A file of unit tests, or a folder of such files.", show_default=True)
    ] = Path("tests"),
    local_only: Annotated[
        bool, typer.Option("--local-only", help="Do not ask Google's evaluator, which takes two seconds more.")
    ] = False,
    json: Json = False,
) -> None:
    """Run unit tests of labels and rules on made-up rows, in a warehouse that is deleted afterwards.

    Google's own evaluator of SQL runs them too, where it is installed; a test fails if it answers otherwise.

    Never copy rows of customers into a test: its file is read by all who read the repository. The exit code is 1 if a
    test fails.
    """
    from rawless.connect import throw_away_warehouse

    with progress_steps("Testing") as report_step, throw_away_warehouse() as opened:
        from rawless.datasets import unit_tests  # takes as long as the server needs to start

        files = unit_tests.find(path)
        google = None if local_only else unit_tests.google(_announce_analyzer)
        warehouse = opened()
        outcomes: list[Outcome] = []
        for file in files:
            report_step(str(file))
            outcomes += unit_tests.run_file(file, warehouse, warehouse.query, google)
    if not local_only and (local := sum(not outcome.is_compared for outcome in outcomes)):
        reason = "failed" if google else "is not installed (pip install 'rawless[local]')"
        warn(f"{local:,} of {len(outcomes):,} tests ran on the local BigQuery only: Google's evaluator {reason}.")
    failed = sum(not outcome.passed for outcome in outcomes)
    if json:
        print_json({"passed": len(outcomes) - failed, "failed": failed,
                    "tests": [_outcome_json(outcome) for outcome in outcomes]})  # fmt: skip
    else:
        _print_outcomes(outcomes)
    if failed:
        raise typer.Exit(1)


@app.command()
def lineage(
    reference: Reference,
    as_openlineage: Annotated[
        bool, typer.Option("--openlineage", help="Print events of OpenLineage, one a line.")
    ] = False,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Show what a snapshot was built from, and which heads and exports were made from it."""
    from json import dumps

    from rawless.connect import open_warehouse
    from rawless.datasets import lineage as lineages
    from rawless.datasets.snapshots import find

    opened = open_warehouse(warehouse)
    found = lineages.lineage(opened, find(opened, reference))
    if as_openlineage:
        for event in lineages.openlineage(found):
            echo(dumps(event))
        return
    parts = [("input", part) for part in found.inputs] + [("output", part) for part in found.outputs]
    rows = [
        {
            "is": role,
            "kind": part.kind,
            "name": part.name,
            "version": part.version,
            "rows": part.rows,
            "made_at": part.at,
        }
        for role, part in parts
    ]
    if json:
        print_json({"snapshot_id": found.manifest.snapshot_id, "lineage": rows})
    else:
        print_table(rows, f"Inputs and outputs of {found.manifest.snapshot_id}")


@app.command("list")
def list_(
    dataset: Annotated[str | None, typer.Argument(help="List the snapshots of this dataset only.")] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """List the snapshots, newest first."""
    from rawless.connect import open_warehouse
    from rawless.datasets.snapshots import list_manifests

    rows = [
        {"snapshot": manifest.snapshot_id, "dataset": manifest.dataset, "as_of": manifest.as_of,
         "created_at": manifest.created_at, "rows": manifest.rows}
        for manifest in list_manifests(open_warehouse(warehouse), dataset)
    ]  # fmt: skip
    if json:
        print_json(rows)
    else:
        print_table(rows)


def _outcome_json(outcome: "Outcome") -> dict[str, Any]:
    differences = [vars(difference) for difference in outcome.differences]
    described = {"file": str(outcome.file), "name": outcome.name, "passed": outcome.passed}
    return {**described, "differences": differences, "error": outcome.error or None}


def _print_outcomes(outcomes: "list[Outcome]") -> None:
    for outcome in outcomes:
        if outcome.passed:
            continue
        echo(f"FAILED {outcome.name} ({outcome.file})")
        if outcome.error:
            echo(f"  {outcome.error}")
        for difference in outcome.differences:
            echo(f"  {difference.example}:\n    - {difference.expected}\n    + {difference.actual}")
    passed = sum(outcome.passed for outcome in outcomes)
    echo(f"{passed:,} of {len(outcomes):,} tests passed.")


def _plan_json(plan: "Plan") -> dict[str, Any]:
    statements = [
        {"name": statement.name, "sql": statement.sql, "parameters": _parameters(statement.parameters)}
        for statement in plan.statements
    ]
    described = {"snapshot_id": plan.snapshot_id, "bytes": plan.bytes, "dollars": round(plan.dollars, 4)}
    described |= {"reckoned": plan.is_estimated, "near_duplicate_recall": plan.recall}
    described |= {"label_bits": round(plan.label_bits, 2), "feature_bits": round(plan.feature_bits, 2)}
    if plan.adapted:
        described |= {"adapted": plan.adapted._asdict()}
    return {**described, "texts": plan.texts, "expectations": plan.expectations, "statements": statements}


def _print_plan(plan: "Plan") -> None:
    from rawless.quantities import format_bytes

    for statement in plan.statements:
        echo(f"-- {statement.name}\n{statement.sql}\n")
        for name, value in _parameters(statement.parameters).items():
            echo(f"--   @{name} = {value}")
        echo("")
    source = (
        "estimated from column widths; the local stack bills nothing"
        if plan.is_estimated
        else "from BigQuery's dry run, which does not know what clustering will leave out"
    )
    size = format_bytes(plan.bytes)
    echo(f"A build reads at most {size} and costs {plan.dollars:.2f} US dollars on demand ({source}).")
    if plan.recall is not None:
        echo(f"The search for near duplicates is expected to find {plan.recall:.1%} of them at that cosine.")
    if plan.adapted:
        echo(
            f"Of {plan.adapted.events:,} events, {plan.adapted.adapted:,} have an adapted vector only; label and rules "
            "decide which are rows."
        )
    _print_bits(plan.label_bits, plan.feature_bits)
    echo("Texts that are stored with the snapshot, for all its readers:")
    for name, texts in plan.texts.items():
        echo(f"  {name}: {', '.join(repr(text) for text in texts)}")
    if plan.expectations:
        echo("The build commits only if:")
        for expectation in plan.expectations:
            echo(f"  {expectation}")
    echo(f"The snapshot's id will be {plan.snapshot_id}.")


def _announce_analyzer() -> None:
    note("Preparing Google's SQL analyzer (once), which checks your own SQL …")


def _print_bits(label: float, features: float) -> None:
    echo(f"Label and presence of a row carry at most {label:.1f} bits about an event.")
    if features:
        echo(f"Its features carry at most {features:.1f} more, {label + features:.1f} in all.")


def _parameters(parameters: Any) -> dict[str, Any]:
    return {
        parameter.name: parameter.value if hasattr(parameter, "value") else parameter.values for parameter in parameters
    }


def _manifest_json(manifest: "Manifest") -> dict[str, Any]:
    fields = {
        name: getattr(manifest, name) for name in ("dataset", "snapshot_id", "as_of", "fingerprint", "row_digest")
    }
    parts = {name: [part._asdict() for part in getattr(manifest, name)] for name in ("sources", "ledger", "counts")}
    fields |= {"label_bits": round(manifest.label_bits, 2), "feature_bits": round(manifest.feature_bits, 2)}
    if manifest.adapted:
        fields |= {"adapted": manifest.adapted.model_dump()}
    return {**fields, **parts, "bytes_processed": manifest.bytes_processed, "created_at": manifest.created_at}


def _print_manifest(manifest: "Manifest") -> None:
    from rawless.datasets.spec import SPLITS

    as_of = f"{manifest.as_of:%Y-%m-%d %H:%M:%S %Z}"
    echo(f"Snapshot {manifest.snapshot_id} of {manifest.dataset}: {manifest.rows:,} rows as of {as_of}.\n")
    labels = sorted({count.label for count in manifest.counts})
    counts = {(count.label, count.split): count.row_count for count in manifest.counts}
    print_table(
        [
            {"label": label or "(number)"} | {split: counts.get((label, split), 0) for split in SPLITS}
            for label in labels
        ]
    )
    if manifest.adapted:
        by_split = ", ".join(f"{split} {manifest.adapted.rows.get(split, 0):,}" for split in SPLITS)
        echo(f"Rows with an adapted vector: {manifest.adapted.total:,} of {manifest.rows:,} ({by_split}).")
    _print_bits(manifest.label_bits, manifest.feature_bits)
    ledger = [removal._asdict() | {"left": removal.rows_in - removal.removed} for removal in manifest.ledger]
    print_table([line | {"parameters": _inline(line["parameters"])} for line in ledger], "Ledger")


def _inline(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in parameters.items())

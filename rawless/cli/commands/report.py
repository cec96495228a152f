"""`rawless report`: write HTML reports."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, print_json, progress, progress_steps, warn

if TYPE_CHECKING:
    from rawless.datasets.snapshots import Manifest
    from rawless.heads.artefact import HeadManifest
    from rawless.heads.evaluation import Evaluation
    from rawless.heads.head_comparison import HeadComparison
    from rawless.lifecycle.lineage import Service
    from rawless.report.encoder_page import EncoderReport
    from rawless.warehouse.client import Warehouse

app = typer.Typer(help="Write reports, each as one HTML file that works offline.", no_args_is_help=True)


@app.command()
def dataset(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="REF", help="A snapshot's id, or a dataset's name for the snapshot that was built last."
        ),
    ],
    heads: Annotated[
        list[str] | None,
        typer.Option(
            "--head",
            metavar="NAME[@VERSION]",
            help="A head trained on the snapshot; may be repeated: the others are compared with the first.",
        ),
    ] = None,
    duplicates: Annotated[
        bool,
        typer.Option("--duplicates", help="List the near duplicates that were left out; this reads vectors again."),
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="The file to write. By default in the folder reports of the home folder."),
    ] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Write a report on a snapshot and its heads: the rows, a map of the embeddings, and where heads fail."""
    from rawless.connect import open_warehouse
    from rawless.datasets.dropped_duplicates import dropped_pairs
    from rawless.datasets.snapshots import find
    from rawless.local import home
    from rawless.report import check_installed

    check_installed()
    opened = open_warehouse(warehouse)
    snapshot = find(opened, reference)
    evaluated = [_evaluated(opened, snapshot, name) for name in heads or ()]
    distinct = list({manifest.digest: (manifest, evaluation) for manifest, evaluation in evaluated}.values())
    from rawless.report import page
    from rawless.report.document import check_writable

    path = to or home.folder() / "reports" / f"{snapshot.snapshot_id}.html"
    check_writable(path)
    with progress_steps(f"Reporting on {snapshot.snapshot_id}") as report_step:
        dropped = dropped_pairs(opened, snapshot, report_step) if duplicates else None
        report_step("comparing")
        comparisons = list(_comparisons(opened, snapshot, [manifest for manifest, _ in distinct]))
        report_step("drawing")
        page.write(opened, snapshot, distinct, path, comparisons, dropped)
    if json:
        names = [f"{manifest.head}@{manifest.version}" for manifest, _ in distinct]
        verdicts = [found.verdict for found in comparisons]
        print_json({"file": str(path), "snapshot_id": snapshot.snapshot_id, "heads": names, "compared": verdicts})
    else:
        for found in comparisons:
            echo(found.verdict)
        echo(f"Wrote {path}; open it in a browser. It is as confidential as the snapshot.")


@app.command()
def privacy(
    streams: Annotated[
        list[Path] | None,
        typer.Option("--stream", help="The file of a stream, for its limits; may be repeated.", show_default=False),
    ] = None,
    since: Annotated[
        str, typer.Option("--since", metavar="DURATION", help="How far back readers and inspections are counted.")
    ] = "90d",
    to: Annotated[
        Path | None,
        typer.Option("--to", "--out", help="The file to write. By default in the folder reports of the home folder."),
    ] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Write a report for the privacy office: what is wrong, what was measured, and the commands that check it again.

    With --json the same is printed, and a page is written only with --to.
    """
    from dataclasses import asdict
    from functools import partial

    from rawless.audit.readers import readers
    from rawless.config import parse_duration
    from rawless.connect import open_warehouse
    from rawless.local import home
    from rawless.report import privacy_page
    from rawless.report.privacy import privacy_report

    period = parse_duration(since, "--since")
    opened = open_warehouse(warehouse)
    with progress("Reading the audits"):
        report = privacy_report(opened, streams or (), period, partial(readers, opened), warehouse)
    path = to or (None if json else home.folder() / "reports" / f"privacy-{report.made_at:%Y%m%dT%H%M%SZ}.html")
    if path:
        privacy_page.write(report, path)
    if json:
        print_json({"verdict": privacy_page.verdict(report), **asdict(report), "file": path and str(path)})
    else:
        echo(privacy_page.verdict(report))
        for finding in report.findings:
            if finding.level == "wrong":
                echo(f"- {finding.sentence}")
        echo(f"Wrote {path}; open it in a browser.")


@app.command()
def encoder(
    name: Annotated[str, typer.Argument(help="The encoder's name, without a version.")],
    services: Annotated[
        list[Path] | None,
        typer.Option("--service", help="The file of a service that calls its heads; may be repeated."),
    ] = None,
    rows: Annotated[
        int, typer.Option("--rows", min=0, help="Events on which versions are compared at most; 0 compares none.")
    ] = 5_000,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="The file to write. By default in the folder reports of the home folder."),
    ] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Write a report on an encoder: what depends on each version, what changed between them, and drift."""
    from rawless.connect import open_warehouse
    from rawless.local import home
    from rawless.report import check_installed, encoder_page

    check_installed()
    opened = open_warehouse(warehouse)
    read = [_service(file, warehouse) for file in services or ()]
    with progress_steps(f"Reporting on {name}") as report_step:
        report = encoder_page.encoder_report(opened, name, home.heads(), read, rows, report_step)
        path = to or home.folder() / "reports" / f"encoder-{name}.html"
        encoder_page.write(report, path)
    if json:
        print_json({"file": str(path), **_lineage_json(report)})
        return
    for each in report.compared:
        sentence = each.found.verdict if each.found else f"Not compared: {each.reason}"
        echo(f"{each.before} and {each.after} on {each.stream}: {sentence}")
    echo(f"Wrote {path}; open it in a browser. It is as confidential as the embeddings.")


def _service(file: Path, warehouse: Path | None) -> "Service":
    from rawless.cli.commands.encoder import resolved
    from rawless.lifecycle.lineage import Service
    from rawless.serving.config import load_config

    _, served = load_config(file)
    heads: dict[str, list[str]] = {}
    for head in served.values():
        heads.setdefault(resolved(head.encoder, warehouse).ref, []).extend(head.models)
    return Service(file.stem, {encoder: tuple(dict.fromkeys(names)) for encoder, names in heads.items()})


def _lineage_json(report: "EncoderReport") -> dict[str, Any]:
    from dataclasses import asdict

    versions = [
        {
            "encoder": version.spec.ref,
            "fingerprint": version.spec.fingerprint,
            "streams": [asdict(each) | {"role": version.roles.get(each.stream)} for each in version.streams],
            "datasets": [asdict(each) for each in version.datasets],
            "heads": [asdict(each) for each in version.heads],
            "services": version.services,
        }
        for version in report.lineage.versions
    ]
    compared = [
        {"before": each.before, "after": each.after, "stream": each.stream, "reason": each.reason or None,
         "verdict": each.found.verdict if each.found else None}
        for each in report.compared
    ]  # fmt: skip
    steps = [{"before": step.before, "after": step.after, "bump": step.bump.value} for step in report.lineage.steps]
    return {"versions": versions, "steps": steps, "relations": report.lineage.relations, "compared": compared}


def _comparisons(
    warehouse: "Warehouse", snapshot: "Manifest", heads: "Sequence[HeadManifest]"
) -> "Iterator[HeadComparison]":
    """Yield the comparison of each further head with the first one, but of those that cannot be compared."""
    from rawless.errors import UserError
    from rawless.heads.head_comparison import compare_heads
    from rawless.heads.session import open_head
    from rawless.local import home

    sessions = [open_head(home.heads() / head.head / str(head.version)) for head in (heads if len(heads) > 1 else ())]
    for session in sessions[1:]:
        try:
            yield compare_heads(warehouse, sessions[0], session, snapshot)
        except UserError as error:
            warn(str(error))


def _evaluated(warehouse: "Warehouse", snapshot: "Manifest", reference: str) -> "tuple[HeadManifest, Evaluation]":
    """Return the manifest and evaluation of a head of this snapshot. Raises UserError for any other head."""
    from rawless.errors import UserError
    from rawless.heads import artefact, registry
    from rawless.heads.publish import folder_of
    from rawless.local import home

    head = registry.find(warehouse, reference)
    name = f"{head.head}@{head.version}"
    if head.snapshot_id != snapshot.snapshot_id:
        trained = f"was trained on {head.snapshot_id}" if head.snapshot_id else "was trained elsewhere"
        raise UserError(
            f"The head {name} {trained}, not on {snapshot.snapshot_id}: use that snapshot, or a head of this one."
        )
    folder = folder_of(head, home.heads())
    manifest = artefact.read(folder).manifest
    if (evaluation := artefact.read_evaluation(folder)) is None:
        raise UserError(f"The head {name} has no evaluation in {folder}: train it again.")
    return manifest, evaluation

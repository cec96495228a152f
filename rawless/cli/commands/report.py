"""`rawless report`: write HTML reports."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, print_json, progress

if TYPE_CHECKING:
    from rawless.datasets.snapshots import Manifest
    from rawless.heads.artefact import HeadManifest
    from rawless.heads.evaluation import Evaluation
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
        typer.Option("--head", metavar="NAME[@VERSION]", help="A head trained on the snapshot; may be repeated."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="The file to write. By default in the folder reports of the home folder."),
    ] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Write a report on a snapshot and its heads: the rows, a map of the embeddings, and where heads fail."""
    from rawless.connect import open_warehouse
    from rawless.datasets.snapshots import find
    from rawless.local import home
    from rawless.report import check_installed

    check_installed()
    opened = open_warehouse(warehouse)
    snapshot = find(opened, reference)
    evaluated = [_evaluated(opened, snapshot, name) for name in heads or ()]
    distinct = list({manifest.digest: (manifest, evaluation) for manifest, evaluation in evaluated}.values())
    from rawless.report import page

    path = to or home.folder() / "reports" / f"{snapshot.snapshot_id}.html"
    with progress(f"Rendering the report of {snapshot.snapshot_id}"):
        page.write(opened, snapshot, distinct, path)
    if json:
        names = [f"{manifest.head}@{manifest.version}" for manifest, _ in distinct]
        print_json({"file": str(path), "snapshot_id": snapshot.snapshot_id, "heads": names})
    else:
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

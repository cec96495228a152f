"""`rawless report`: pages for those who would rather look than read."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import print_json, progress, say

if TYPE_CHECKING:
    from rawless.datasets.snapshots import Manifest
    from rawless.heads.artefact import HeadManifest
    from rawless.heads.evaluation import Evaluation

app = typer.Typer(help="Pages to look at: one HTML file each, which needs no network.", no_args_is_help=True)


@app.callback()
def _report() -> None:
    """Keeps `dataset` a command of its own name while it is the only one."""


@app.command()
def dataset(
    reference: Annotated[
        str, typer.Argument(metavar="REF", help="A snapshot's id, or a dataset's name for its newest.")
    ],
    heads: Annotated[
        list[str] | None,
        typer.Option("--head", metavar="NAME[@VERSION]", help="A head trained on it; may be repeated."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="The file to write; without it, one in the home folder's reports.")
    ] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Write a page about a snapshot and heads trained on it: its rows, a map of its embeddings, where heads fail."""
    from rawless.connect import open_warehouse
    from rawless.datasets.snapshots import find
    from rawless.local import home
    from rawless.report import check_installed

    check_installed()
    from rawless.report import page

    place = open_warehouse(warehouse)
    snapshot = find(place, reference)
    found = [_judged(place, snapshot, each) for each in heads or ()]
    judged = list({each[0].digest: each for each in found}.values())
    path = to or home.folder() / "reports" / f"{snapshot.snapshot_id}.html"
    with progress(f"Drawing {snapshot.snapshot_id}"):
        page.write(place, snapshot, judged, path)
    if json:
        names = [f"{manifest.head}@{manifest.version}" for manifest, _ in judged]
        print_json({"file": str(path), "snapshot_id": snapshot.snapshot_id, "heads": names})
    else:
        say(f"{path}: open it in a browser. It is as confidential as the snapshot.")


def _judged(place: Any, snapshot: "Manifest", reference: str) -> "tuple[HeadManifest, Evaluation]":
    """A head of this snapshot and what was measured of it. Raises UserError."""
    from rawless.errors import UserError
    from rawless.heads import artefact, registry
    from rawless.heads.publish import folder_of
    from rawless.local import home

    found = registry.find(place, reference)
    name = f"{found.head}@{found.version}"
    if found.snapshot_id != snapshot.snapshot_id:
        trained = f"was trained on {found.snapshot_id}" if found.snapshot_id else "was trained elsewhere"
        raise UserError(
            f"The head {name} {trained}, not on {snapshot.snapshot_id}: name that snapshot, or a head of this one."
        )
    folder = folder_of(found, home.heads())
    manifest, _ = artefact.read(folder)
    if (evaluation := artefact.read_evaluation(folder)) is None:
        raise UserError(f"The head {name} has no evaluation in {folder}: train it again.")
    return manifest, evaluation

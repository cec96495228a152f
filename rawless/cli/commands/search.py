"""`rawless search`: find the nearest rows of a snapshot."""

from typing import Annotated, Literal

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import print_json, print_table, progress


def search(
    snapshot: Annotated[
        str,
        typer.Option("--snapshot", help="A snapshot's id, or a dataset's name for the snapshot that was built last."),
    ],
    event: Annotated[str, typer.Option("--event", help="The id of an event in the snapshot.")],
    top: Annotated[int, typer.Option("--top", help="The number of neighbours to return.")] = 10,
    split: Annotated[
        Literal["train", "validation", "test"] | None, typer.Option("--split", help="Search this split only.")
    ] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Find the rows of a snapshot whose vectors are nearest to an event's. Prints ids and labels, never vectors."""
    from rawless.connect import open_warehouse
    from rawless.datasets.search import nearest
    from rawless.datasets.snapshots import find

    opened = open_warehouse(warehouse)
    manifest = find(opened, snapshot)
    with progress(f"Searching {manifest.snapshot_id}"):
        neighbours = [neighbour._asdict() for neighbour in nearest(opened, manifest, event, top, split)]
    unused = "label" if manifest.is_number else "label_value"
    rows = [{name: value for name, value in row.items() if name != unused} for row in neighbours]
    if json:
        print_json({"snapshot_id": manifest.snapshot_id, "event_id": event, "neighbours": rows})
    else:
        print_table([row | {"cosine": f"{row['cosine']:.4f}"} for row in rows])

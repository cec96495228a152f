"""`rawless search`: the nearest rows of a snapshot, by id."""

from typing import Annotated, Literal

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import print_json, print_table, progress


def search(
    snapshot: Annotated[str, typer.Option("--snapshot", help="A snapshot's id, or a dataset's name for its newest.")],
    event: Annotated[str, typer.Option("--event", help="The id of an event in it.")],
    top: Annotated[int, typer.Option("--top", help="How many.")] = 10,
    split: Annotated[
        Literal["train", "validation", "test"] | None, typer.Option("--split", help="Of this split alone.")
    ] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Find the rows of a snapshot whose vectors are nearest to one of them. Ids come out, nothing else."""
    from rawless.connect import open_warehouse
    from rawless.datasets.search import nearest
    from rawless.datasets.snapshots import find

    place = open_warehouse(warehouse)
    manifest = find(place, snapshot)
    with progress(f"Searching {manifest.snapshot_id}"):
        found = [each._asdict() for each in nearest(place, manifest, event, top, split)]
    unused = "label" if manifest.is_number else "label_value"
    rows = [{name: value for name, value in row.items() if name != unused} for row in found]
    if json:
        print_json({"snapshot_id": manifest.snapshot_id, "event_id": event, "neighbours": rows})
    else:
        print_table([row | {"cosine": f"{row['cosine']:.4f}"} for row in rows])

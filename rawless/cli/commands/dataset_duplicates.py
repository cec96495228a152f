"""`rawless dataset duplicates`: list the near duplicates that a snapshot left out."""

from pathlib import Path
from typing import Annotated

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, print_json, print_table, progress_steps

_ROWS_SHOWN = 10


def duplicates(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="REF", help="A snapshot's id, or a dataset's name for the snapshot that was built last."
        ),
    ],
    to: Annotated[
        Path | None, typer.Option("--to", help="Write all of them to this CSV file: ids and labels, no content.")
    ] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """List the near duplicates that a snapshot left out, each with its nearest row of train, by their ids.

    The dataset's rules run again, and vectors are read again, as in a build; nothing is stored.
    """
    from rawless.cli.csv_file import write_csv
    from rawless.connect import open_warehouse
    from rawless.datasets.dropped_duplicates import DroppedPair, dropped_pairs
    from rawless.datasets.snapshots import find

    opened = open_warehouse(warehouse)
    manifest = find(opened, reference)
    with progress_steps(f"Searching {manifest.snapshot_id} for near duplicates") as report_step:
        found = dropped_pairs(opened, manifest, report_step)
    if to:
        write_csv(to, [DroppedPair._fields, *found])
    contradictions = sum(pair.is_contradiction for pair in found)
    if json:
        pairs = [pair._asdict() | {"is_contradiction": pair.is_contradiction} for pair in found]
        print_json({"snapshot_id": manifest.snapshot_id, "pairs": pairs})
        return
    if found:
        print_table([pair._asdict() | {"cosine": f"{pair.cosine:.4f}"} for pair in found[:_ROWS_SHOWN]])
    echo(f"{len(found):,} near duplicates were left out of {manifest.snapshot_id}.")
    if contradictions:
        echo(f"{contradictions:,} of them, which come first, have another label than their nearest row of train.")
    if to:
        echo(f"Wrote {len(found):,} pairs to {to}.")

"""`rawless encoder compare`: how far the vectors of two encoders are apart on the same content."""

from dataclasses import asdict
from typing import Annotated

import typer

from rawless.cli.commands.encoder import Ref, resolved
from rawless.cli.options import DeviceName, Json, WarehouseFile
from rawless.cli.output import echo, print_json, progress


def compare(
    first: Ref,
    second: Ref,
    source: Annotated[str, typer.Option("--source", help="What to encode: files:FOLDER or jsonl:FILE.")],
    device: DeviceName = "auto",
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Encode the same files or lines by two encoders, and print how far their vectors are apart, and nothing else."""
    from encoders.load import load
    from rawless.lifecycle import parity

    one, other = resolved(first, warehouse), resolved(second, warehouse)
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

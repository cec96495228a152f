"""`rawless head compare`: say which of two heads is better, for which classes, and on which rows they differ."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, print_json, print_table, progress

if TYPE_CHECKING:
    from rawless.heads.head_comparison import ClassDifference, HeadComparison

_ROWS_SHOWN = 10


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="NAME@VERSION, or a name for its newest version.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The head that may be better.")],
    snapshot: Annotated[
        str | None,
        typer.Option("--snapshot", metavar="REF", help="Judge them on the test split of this snapshot, not of B's."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Write the rows that change to this CSV file: ids and classes, no content."),
    ] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Compare two heads, or two versions of one, on the same test rows, which neither was trained on."""
    from rawless.connect import open_warehouse
    from rawless.datasets.snapshots import find
    from rawless.heads import registry
    from rawless.heads.head_comparison import compare_heads
    from rawless.heads.publish import folder_of
    from rawless.heads.session import open_head
    from rawless.local import home

    opened = open_warehouse(warehouse)
    before, after = (
        open_head(folder_of(registry.find(opened, reference), home.heads())) for reference in (first, second)
    )
    judged_on = find(opened, snapshot) if snapshot else None
    with progress(f"Comparing {first} and {second}"):
        found = compare_heads(opened, before, after, judged_on)
    if to:
        _write_changed(to, found)
    if json:
        print_json(_json(found))
        return
    _print(found)
    if to:
        echo(f"Wrote {len(found.changed or ()):,} changed rows to {to}.")


def _print(found: "HeadComparison") -> None:
    echo(found.verdict)
    print_table(
        [
            {"measure": each.name, found.first: f"{each.first:.3f}", found.second: f"{each.second:.3f}",
             "difference": each.difference.signed}
            for each in found.differences
        ],
        f"On {found.rows:,} test rows, with 95% intervals of the difference",
    )  # fmt: skip
    if found.classes:
        _print_classes(found)
    if found.changed is not None:
        echo(_changed_sentence(found))
    if found.seen:
        echo(f"Left out: {found.seen:,} test rows of events or persons that one of the heads was trained on.")
    if found.unmatched:
        echo(f"Left out: {found.unmatched:,} test rows that are not in both snapshots with the same label.")


def _print_classes(found: "HeadComparison") -> None:
    shown = found.classes if len(found.classes) <= _ROWS_SHOWN else _extremes(found.classes)
    print_table(
        [
            {"class": each.name, "rows": each.first.rows, f"f1 of {found.first}": each.first.f1.number,
             f"f1 of {found.second}": each.second.f1.number, "difference": each.f1.signed}
            for each in shown
        ],
        "Classes, the largest loss first",
    )  # fmt: skip
    if hidden := len(found.classes) - len(shown):
        echo(f"{hidden:,} classes between them are in the output of --json.")
    if (by_chance := round(len(found.classes) * 0.05)) > 0:
        echo(f"Of {len(found.classes):,} intervals of classes, about {by_chance:,} leave out 0 by chance.")


def _extremes(classes: "Sequence[ClassDifference]") -> "list[ClassDifference]":
    """Return the classes that lose most and those that gain most."""
    half = _ROWS_SHOWN // 2
    return [*classes[:half], *classes[-half:]]


def _changed_sentence(found: "HeadComparison") -> str:
    """Return how many rows change, as a sentence."""
    fixed, broken, wrong = (found.count(change) for change in ("fixed", "broken", "still wrong"))
    others = f"; both are wrong on {wrong:,}, in other ways" if wrong else ""
    return f"{found.second} fixes {fixed:,} rows and breaks {broken:,}{others}."


def _write_changed(path: Path, found: "HeadComparison") -> None:
    from rawless.cli.csv_file import write_csv
    from rawless.errors import UserError
    from rawless.heads.head_comparison import ChangedRow

    if found.changed is None:
        raise UserError("The heads predict numbers, so no row is right or wrong: leave out --to.")
    write_csv(path, [ChangedRow._fields, *found.changed])


def _json(found: "HeadComparison") -> dict[str, Any]:
    from rawless.cli.class_table import classes_json

    changed = found.changed
    of_class = [
        {"class": each.name, "f1_difference": each.f1._asdict()}
        | dict(zip(("first", "second"), classes_json([each.first, each.second], ()), strict=True))
        for each in found.classes
    ]
    return {
        **{name: value for name, value in asdict(found).items() if name not in ("changed", "classes", "differences")},
        "verdict": found.verdict,
        "differences": [each._asdict() | {"difference": each.difference._asdict()} for each in found.differences],
        "classes": of_class,
        "changed": changed and [each._asdict() for each in changed],
    }  # fmt: skip

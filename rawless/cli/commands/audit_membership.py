"""`rawless audit membership`: whether a head tells which rows it was trained on."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, print_json, print_table, progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rawless.audit.leakage.attack import Measure


def membership(
    head: Annotated[str, typer.Argument(help="NAME@VERSION, or a name for its newest version.")],
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Measure how well a head's answers tell the rows that it was trained on, and record it."""
    audit_head(head, warehouse, json=json)


def audit_head(reference: str, warehouse: Path | None, *, json: bool) -> None:
    """Measure and record the membership of a head's rows, and print it."""
    from rawless.audit.leakage.membership import audit_membership, trained_on
    from rawless.audit.leakage.table import write_measures
    from rawless.connect import open_warehouse
    from rawless.heads import registry
    from rawless.heads.publish import folder_of
    from rawless.heads.session import open_head
    from rawless.local import home

    opened = open_warehouse(warehouse)
    with progress(f"Auditing {reference}"):
        session = open_head(folder_of(registry.find(opened, reference), home.heads()))
        name = f"{session.manifest.head}@{session.manifest.version}"
        measures = audit_membership(session, trained_on(opened, session.manifest))
        audit_id = write_measures(opened, measures, fingerprint=session.manifest.fingerprint, head=name)
    if json:
        print_json(
            {
                "audit_id": audit_id,
                "head": name,
                "encoder_fingerprint": session.manifest.fingerprint,
                "measures": [asdict(measure) for measure in measures],
            }
        )
    else:
        _print(name, measures)


def _print(name: str, measures: "Sequence[Measure]") -> None:
    from rawless.audit.leakage.membership import FALSE_POSITIVES

    print_table(
        [
            {
                "metric": measure.metric,
                "value": f"{measure.value:.3f} ({measure.low:.3f} to {measure.high:.3f})",
                "other heads": f"{measure.control:.3f}",
                "shuffled": f"{measure.shuffled:.3f}",
                "guess": f"{measure.prior:.3f}",
            }
            for measure in measures
        ],
        f"Members of {name} that are found at 1% false positives, with 95% intervals",
    )
    whole = measures[0]
    echo(f"{whole.attacked_rows // 2:,} members and as many rows of test with the same labels were attacked.")
    if whole.low <= max(whole.control, FALSE_POSITIVES):
        echo("No more members were found than by a guess; a stronger attack may find more.")
    else:
        echo("It remembers rows: more rows, a validation split, weight_decay, dropout or fewer weights reduce this.")

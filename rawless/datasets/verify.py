"""Whether a snapshot's rows are what they were, and can be made again."""

import secrets
from dataclasses import dataclass

from rawless.datasets import frozen_sources, staging_tables
from rawless.datasets.build import Run, Told, forget, mark, materialise, prepare
from rawless.datasets.dataset import sql_digest
from rawless.datasets.diff import dataset_of
from rawless.datasets.rendering import template
from rawless.datasets.snapshots import Manifest, batches, digest
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters


@dataclass(frozen=True)
class Verdict:
    """Of a verification."""

    stored_is_equal: bool
    """The rows that are kept have the manifest's digest."""
    rebuilt_is_equal: bool
    """The rows that the same dataset makes now have it."""
    findings: tuple[str, ...]
    """What differs, and why as far as it can be told."""


def verify(warehouse: Warehouse, manifest: Manifest, told: Told) -> Verdict:
    """Hold a snapshot's rows, as kept and as built again, against its manifest. Raises UserError."""
    told("digest")
    stored, kept = digest(batches(warehouse, manifest.snapshot_id))
    again = secrets.token_hex(12)
    build = prepare(warehouse, dataset_of(manifest), again)
    with staging_tables.tables(build):
        try:
            run = mark(frozen_sources.kept(build, manifest.snapshot_id), told)
            materialise(run, again)
            told("digest")
            rebuilt, _ = digest(batches(warehouse, again))
            equal = stored == manifest.row_digest, rebuilt == manifest.row_digest
            found = () if all(equal) else _findings(warehouse, manifest, run, again, kept)
        finally:
            forget(warehouse, again)
    return Verdict(*equal, tuple(found))


def _findings(warehouse: Warehouse, manifest: Manifest, run: Run, again: str, kept: int) -> list[str]:
    found = []
    rows = manifest.rows
    if kept != rows:
        found.append(f"{rows - kept:,} of {rows:,} rows are no longer kept: they were erased from the snapshot.")
    for source in manifest.sources:
        now = run.counted.get(source.table_name, 0)
        if now != source.row_count:
            found.append(
                f"The source {source.table_name} had {source.row_count:,} rows at the as-of, and has {now:,} now."
            )
    ids = parameters({"before_id": manifest.snapshot_id, "after_id": again})
    (missing,) = warehouse.query(template(warehouse, "missing"), ids)
    if missing["erased"]:
        found.append(f"{missing['erased']:,} rows are of persons who were erased since.")
    if left := missing["missing"] - missing["erased"]:
        found.append(f"{left:,} rows are not made again.")
    if manifest.sql_digest != sql_digest():
        found.append("This version of Rawless builds snapshots by other SQL.")
    return found or ["The rows differ though no source has more or fewer rows: one was changed in place."]

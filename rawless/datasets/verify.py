"""Verify a snapshot: whether its rows are unchanged, and whether a rebuild gives the same rows."""

from dataclasses import dataclass

from rawless.datasets import snapshot_tables
from rawless.datasets.build import BuildRun, OnStep, write_rows
from rawless.datasets.diff import selected
from rawless.datasets.identity import sql_digest
from rawless.datasets.row_digest import digest
from rawless.datasets.snapshots import Manifest, batches, summarise
from rawless.warehouse.client import Warehouse

_MOST_ROWS_READ = 100_000
"""Rows of a larger snapshot are hashed by BigQuery, since reading their vectors would take minutes."""


@dataclass(frozen=True)
class Verdict:
    """The result of a verification."""

    stored_is_equal: bool
    """Whether the stored rows have the manifest's digest."""
    rebuilt_is_equal: bool
    """Whether the rows that the same dataset builds now have it."""
    findings: tuple[str, ...]
    """What differs, and why as far as that can be found."""


def verify(warehouse: Warehouse, manifest: Manifest, on_step: OnStep) -> Verdict:
    """Compare a snapshot's rows, as stored and as built again, with its manifest. Raises UserError."""
    on_step("digest")
    stored, stored_rows = _digest_stored(warehouse, manifest)
    with selected(warehouse, manifest, on_step) as run:
        snapshot_id = run.compiled.snapshot_id
        try:
            rebuilt = None
            if write_rows(run):
                on_step("digest")
                rebuilt = summarise(warehouse, snapshot_id).row_digest
            equal = stored == manifest.row_digest, rebuilt == manifest.row_digest
            findings = () if all(equal) else _findings(manifest, run, stored_rows, is_empty=rebuilt is None)
        finally:
            snapshot_tables.drop(warehouse, snapshot_id)
    return Verdict(*equal, tuple(findings))


def _digest_stored(warehouse: Warehouse, manifest: Manifest) -> tuple[str, int]:
    """Return the digest over the stored rows, and their number. The hashes that are stored with them are not used."""
    if manifest.rows <= _MOST_ROWS_READ:
        return digest(batches(warehouse, manifest.snapshot_id))
    summary = summarise(warehouse, manifest.snapshot_id, hash_again=True)
    return summary.row_digest, summary.rows


def _findings(manifest: Manifest, rebuilt: BuildRun, stored_rows: int, *, is_empty: bool) -> list[str]:
    findings = []
    rows = manifest.rows
    if stored_rows != rows:
        findings.append(
            f"{rows - stored_rows:,} of {rows:,} rows are no longer stored: they were erased from the snapshot."
        )
    for source in manifest.sources:
        rows_now = rebuilt.source_rows.get(source.table_name, 0)
        if rows_now != source.row_count:
            findings.append(
                f"The source {source.table_name} had {source.row_count:,} rows at the as-of, and has {rows_now:,} now."
            )
    if is_empty:
        return [*findings, "The rebuilt snapshot has no rows."]
    compiled = rebuilt.compiled
    names = {"before_snapshot": snapshot_tables.table_id(compiled.warehouse, manifest.snapshot_id)}
    (missing,) = compiled.warehouse.query(compiled.render("missing", **names, after_snapshot=compiled.snapshot_table))
    if missing["erased"]:
        findings.append(f"{missing['erased']:,} rows are of persons who were erased since.")
    if others := missing["missing"] - missing["erased"]:
        findings.append(f"{others:,} rows are missing from the rebuilt snapshot.")
    if manifest.sql_digest != sql_digest():
        findings.append("This version of Rawless builds snapshots by different SQL.")
    return findings or ["The rows differ although every source has as many rows as before: one was changed in place."]

"""Verify a snapshot: whether its rows are unchanged, and whether a rebuild gives the same rows."""

from dataclasses import dataclass

from rawless.datasets import snapshot_tables
from rawless.datasets.build import BuildRun, OnStep, write_rows
from rawless.datasets.diff import selected
from rawless.datasets.erasures import erased_rows, list_erasures
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
    """Whether the stored rows have the manifest's digest or, if some were erased, the one that the erasure recorded."""
    rebuilt_is_equal: bool
    """Whether the rows that the same dataset builds now have it."""
    findings: tuple[str, ...]
    """What differs, and why as far as that can be found."""
    erased_rows: int = 0
    """How many rows `rawless erase` deleted."""

    @property
    def is_equal(self) -> bool:
        """Return whether both are equal."""
        return self.stored_is_equal and self.rebuilt_is_equal


def verify(warehouse: Warehouse, manifest: Manifest, on_step: OnStep) -> Verdict:
    """Compare a snapshot's rows, as stored and as built again, with its manifest. Raises UserError."""
    on_step("digest")
    stored, stored_rows = _digest_stored(warehouse, manifest)
    erasures = list_erasures(warehouse, manifest.snapshot_id)
    expected = erasures[-1].row_digest if erasures else manifest.row_digest
    erased = erased_rows(erasures)
    with selected(warehouse, manifest, on_step) as run:
        snapshot_id = run.compiled.snapshot_id
        try:
            rebuilt = None
            if write_rows(run):
                on_step("digest")
                rebuilt = summarise(warehouse, snapshot_id).row_digest
            equal = stored == expected, rebuilt == expected
            lost = manifest.rows - erased - stored_rows
            findings: list[str] = [] if all(equal) else _findings(manifest, run, lost, is_empty=rebuilt is None)
            if expected is None:
                findings = ["The rows were not those of the manifest when some were erased.", *findings]
        finally:
            snapshot_tables.drop(warehouse, snapshot_id)
    return Verdict(*equal, tuple(findings), erased)


def _digest_stored(warehouse: Warehouse, manifest: Manifest) -> tuple[str, int]:
    """Return the digest over the stored rows, and their number. The hashes that are stored with them are not used."""
    if manifest.rows <= _MOST_ROWS_READ:
        return digest(batches(warehouse, manifest.snapshot_id))
    summary = summarise(warehouse, manifest.snapshot_id, hash_again=True)
    return summary.row_digest, summary.rows


def _findings(manifest: Manifest, rebuilt: BuildRun, lost: int, *, is_empty: bool) -> list[str]:
    findings = []
    if lost:
        findings.append(
            f"{lost:,} of {manifest.rows:,} rows are no longer stored, and no certificate of an erasure says why."
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
    if manifest.sql_digest != sql_digest(adapted=compiled.spec.adapted is not None):
        findings.append("This version of Rawless builds snapshots by different SQL.")
    return findings or ["The rows differ although every source has as many rows as before: one was changed in place."]

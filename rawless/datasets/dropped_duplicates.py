"""The near duplicates that a snapshot left out, by id, each with its nearest row of train.

They are stored nowhere: the dataset selects its examples again, as for a comparison of snapshots, and searches again.
"""

from typing import NamedTuple

from rawless.datasets.build import OnStep, find_fingerprint
from rawless.datasets.compile import Span
from rawless.datasets.diff import selected
from rawless.datasets.snapshots import Manifest
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse


class DroppedPair(NamedTuple):
    """A row of validation or test that was left out, and the row of train that it is nearest to."""

    event_id: str
    split: str
    label: str
    train_event_id: str
    train_label: str
    cosine: float

    @property
    def is_contradiction(self) -> bool:
        """Whether both rows have different labels, although their content is nearly the same."""
        return self.label != self.train_label


def dropped_pairs(warehouse: Warehouse, manifest: Manifest, on_step: OnStep) -> list[DroppedPair]:
    """Return the near duplicates that a snapshot left out: those with another label first, then the nearest first.

    Rows that were erased since are not found again. Raises UserError if the dataset does not drop near duplicates.
    """
    if not manifest.spec.get("spec", {}).get("split", {}).get("near_duplicates"):
        raise UserError(f"The snapshot {manifest.snapshot_id} does not drop near duplicates: set near_duplicates.")
    with selected(warehouse, manifest, on_step) as run:
        run.fingerprint = find_fingerprint(run)
        remaining = run.marked.get(None)
        if remaining is None or remaining.first_at is None or remaining.last_at is None:
            return []
        span = Span(remaining.examples, remaining.first_at, remaining.last_at, remaining.is_tied)
        on_step("near duplicates")
        statement = run.compiled.dropped_pairs(span, run.fingerprint)
        found = warehouse.query(statement.sql, statement.parameters)
    pairs = [DroppedPair(**row) for row in found]
    return sorted(pairs, key=lambda pair: (not pair.is_contradiction, -pair.cosine, pair.event_id))

"""Comparing a version of a head with the live one, on the same rows, before it is deployed."""

from typing import NamedTuple

from rawless.datasets.snapshots import find
from rawless.heads.artefact import HeadManifest
from rawless.heads.deployment import layout_difference
from rawless.heads.metrics import Metric, paired_difference
from rawless.heads.paired_rows import Side, paired_rows
from rawless.heads.reevaluate import task_of
from rawless.heads.session import HeadSession
from rawless.warehouse.client import Warehouse


class Comparison(NamedTuple):
    """The main metric of the live version and of another one on the same test rows."""

    snapshot_id: str
    rows: int
    left_out: int
    """Test rows that one of the two was trained on."""
    live: float
    other: float
    difference: Metric
    """The other version's metric minus that of the live one, with the paired interval."""

    @property
    def is_worse(self) -> bool:
        """Whether the other version is worse beyond chance: the whole 95% interval of the difference is below 0."""
        return self.difference.high < 0

    def __str__(self) -> str:
        """Return the comparison as a clause."""
        return (
            f"its {self.difference.name} on {self.rows:,} test rows of {self.snapshot_id} is {self.other:.3f}, that of "
            f"the live version {self.live:.3f} (difference {self.difference})"
        )


def compare(warehouse: Warehouse, live: HeadSession, other: HeadSession) -> Comparison | None:
    """Compare two versions on the test split of the snapshot of the other one, without rows that either has seen.

    Without such a snapshot that of the live version is taken. Returns None when neither names one, or the versions have
    different layouts, so that their answers cannot be compared. Raises UserError when too few rows are left.

    The interval is that of a paired bootstrap: both versions are measured on the same resampled persons.
    """
    reference = judged_on(other.manifest) or judged_on(live.manifest)
    if reference is None or layout_difference(live.manifest, other.manifest):
        return None
    task = task_of(warehouse, other, find(warehouse, reference))
    pair = paired_rows(warehouse, Side(live, task), Side(other, task))
    before, after = pair.outcomes()
    metric = task.kind.main_metric(task.manifest)
    (difference,) = paired_difference(metric, before, after, seed=0, persons=pair.judged_persons)
    (live_value,), (other_value,) = metric(*before).values(), metric(*after).values()
    return Comparison(task.manifest.snapshot_id, len(pair), pair.seen, live_value, other_value, difference)


def judged_on(manifest: HeadManifest) -> str | None:
    """Return the snapshot that a version was trained on or, if it was imported, evaluated on."""
    return manifest.snapshot_id or manifest.hyperparameters.get("judged_on")

"""The test rows on which two heads can be compared: neither has seen them, and both have an answer for them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import binomtest

from rawless.errors import UserError
from rawless.heads.examples import Task
from rawless.heads.fit import Rows
from rawless.heads.metrics import Array, class_probabilities
from rawless.heads.reevaluate import answers
from rawless.heads.seen import MIN_ROWS, stream_of, unseen
from rawless.heads.session import HeadSession
from rawless.warehouse.client import Warehouse

FOUND = 10
"""Ranks among which a query's document counts as found, as in recall@10."""
CHANCE = 0.05
"""The probability below which a difference is not called chance, as for intervals of 95%."""


@dataclass(frozen=True)
class Side:
    """A head, and the snapshot that it is judged on, as it takes it."""

    session: HeadSession
    task: Task

    @property
    def name(self) -> str:
        """Name and version of the head."""
        return f"{self.session.manifest.head}@{self.session.manifest.version}"


@dataclass(frozen=True)
class PairedRows:
    """The same events as either head takes them, in one order."""

    sides: tuple[Side, Side]
    rows: tuple[Rows, Rows]
    persons: Sequence[str | None]
    seen: int
    """Test rows that one of the heads was trained on."""
    unmatched: int
    """Test rows of the first head's snapshot that are no test rows of the other's, or have another label there."""

    def __len__(self) -> int:
        return len(self.persons)

    @property
    def judged_persons(self) -> list[str | None]:
        """The person of each outcome: of each row, or of each matching row where heads search."""
        if self.sides[0].task.kind.predicts_labels:
            return list(self.persons)
        matching = self.rows[0].labels.tolist()
        return [person for person, matches in zip(self.persons, matching, strict=True) if matches]

    def right(self, outcomes: Sequence[Array]) -> Array | None:
        """Return which outcomes are right; None where heads predict numbers, which are neither right nor wrong."""
        task = self.sides[0].task
        if task.manifest.is_number:
            return None
        return outcomes[1].argmax(1) == outcomes[0] if task.kind.predicts_labels else outcomes[0] < FOUND

    def p_value(self, first: Sequence[Array], second: Sequence[Array]) -> float | None:
        """Return McNemar's exact test of the outcomes that only one head has right; None where there are none.

        Few such outcomes say less than a bootstrap makes of them: where four are worse and none is better, hardly a
        resample has none of the four. McNemar, 'Note on the sampling error of the difference between correlated
        proportions' (1947).
        """
        before, after = self.right(first), self.right(second)
        if before is None or after is None or not (before != after).any():
            return None
        return float(binomtest(int((after & ~before).sum()), int((before != after).sum())).pvalue)

    def outcomes(self) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """Return what the metric of a head's kind takes, for both heads, with the classes in the first one's order."""
        first, second = (
            side.task.kind.outcomes(rows, answers(side.session, side.task, rows))
            for side, rows in zip(self.sides, self.rows, strict=True)
        )
        classes, others = (side.task.classes for side in self.sides)
        if not self.sides[0].task.kind.predicts_labels or not classes:
            return first, second
        labels, probabilities = first[0], class_probabilities(first[1])
        order = [others.index(name) for name in classes]
        return (labels, probabilities), (labels, class_probabilities(second[1])[:, order])


def paired_rows(warehouse: Warehouse, first: Side, second: Side) -> PairedRows:
    """Return the test rows of both sides' snapshots whose events and persons neither head was trained on.

    A row of two snapshots is compared if it has the same events and the same label in both. Raises UserError when too
    few rows are left, or the rows that a head was trained on are gone.
    """
    test, other = first.task.splits["test"], second.task.splits["test"]
    unseen_rows = unseen(warehouse, [first.session.manifest, second.session.manifest], first.task)
    same = _positions(first, second)
    kept = np.flatnonzero(unseen_rows & (same >= 0))
    needed = max(MIN_ROWS, len(first.task.classes))
    if len(kept) < min(needed, len(test)):
        raise UserError(_too_few(first, second, len(kept), needed))
    rows = tuple(part.rows.take(torch.from_numpy(indices)) for part, indices in ((test, kept), (other, same[kept])))
    return PairedRows(
        (first, second), (rows[0], rows[1]), [test.persons[n] for n in kept.tolist()], int((~unseen_rows).sum()),
        int((unseen_rows & (same < 0)).sum()),
    )  # fmt: skip


def _positions(first: Side, second: Side) -> Array:
    """Return for each test row of the first side where the other has it, or -1."""
    test, other = first.task.splits["test"], second.task.splits["test"]
    if first.task.manifest.snapshot_id == second.task.manifest.snapshot_id:
        return np.arange(len(test))
    if stream_of(first.task.manifest) != stream_of(second.task.manifest):
        return np.full(len(test), -1)
    labels = dict(zip(other.rows.ids, _labels(second), strict=True))
    places = {row_id: place for place, row_id in enumerate(other.rows.ids)}
    return np.array(
        [
            places[row_id] if labels.get(row_id) == label else -1
            for row_id, label in zip(test.rows.ids, _labels(first), strict=True)
        ],
        int,
    )


def _labels(side: Side) -> list[object]:
    labels, classes = side.task.splits["test"].rows.labels.tolist(), side.task.classes
    return [classes[label] for label in labels] if classes else labels


def _too_few(first: Side, second: Side, rows: int, needed: int) -> str:
    snapshots = dict.fromkeys((first.task.manifest.snapshot_id, second.task.manifest.snapshot_id))
    return (
        f"{first.name} and {second.name} cannot be compared: only {rows:,} test rows of {' and '.join(snapshots)} are "
        f"of events and persons that neither was trained on, but {needed:,} are needed. Build a snapshot with the salt "
        "and the split of those that they were trained on, or of newer events."
    )

"""What a build says of its rows: the ledger, counts by split and label, warnings, and what makes it fail."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rawless.datasets.compile import OUTSIDE, Build
from rawless.datasets.snapshots import Count, Removal
from rawless.datasets.spec import SPLITS, DatasetSpec
from rawless.datasets.splits import Step
from rawless.errors import UserError
from rawless.warehouse.parameters import parameters

_MIN_TELLING = 20
"""Rows below which an attribute that tells the label is no surprise."""


@dataclass(frozen=True)
class Report:
    """What became of the examples."""

    ledger: tuple[Removal, ...]
    counts: tuple[Count, ...]
    warnings: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Of the snapshot."""
        return sum(each.row_count for each in self.counts)


def report(build: Build, steps: Sequence[Step]) -> Report:
    """Reads the tables of a build that has run."""
    counts = tuple(Count(**row) for row in _query(build, "counts"))
    return Report(ledger(build, steps), counts, tuple(_warnings(build, counts)))


def ledger(build: Build, steps: Sequence[Step]) -> tuple[Removal, ...]:
    """What each step removed, in order."""
    removed = {row["removed_by"]: row["examples"] for row in _query(build, "ledger")}
    left, lines = sum(removed.values()), []
    for position, step in enumerate(steps):
        lines.append(Removal(step.name, step.parameters, left, removed.get(position, 0)))
        left -= removed.get(position, 0)
    return tuple(lines)


def check_labels(build: Build) -> None:
    """Raises UserError for labels outside the classes or the range: with their count, never a value."""
    outside = {row["removed_by"]: row["examples"] for row in _query(build, "ledger")}.get(OUTSIDE, 0)
    if outside:
        label = build.dataset.spec.label
        wanted = "classes" if label.type == "class" else f"range {list(label.range or ())}"
        raise UserError(
            f"{outside:,} events have a label outside the {wanted} of the dataset: mend the label's query, or add what "
            "is missing. No value is shown, since it may be anything."
        )


def check(spec: DatasetSpec, found: Report) -> None:
    """Raises UserError when nothing is left, or less than the spec requires."""
    if not found.rows:
        most = max(found.ledger, key=lambda line: line.removed)
        raise UserError(f"No row is left: the most, {most.removed:,} of {most.rows_in:,}, were removed by {most.rule}.")
    if found.rows < spec.require.min_rows:
        raise UserError(f"{found.rows:,} rows are left, but require.min_rows is {spec.require.min_rows:,}.")
    if spec.label.type == "number":
        return
    by_label = {each: sum(c.row_count for c in found.counts if c.label == each) for each in spec.label.classes}
    if sum(count > 0 for count in by_label.values()) < 2:
        raise UserError(f"All {found.rows:,} rows have one label, so nothing can be learned: check label and rules.")
    for label, count in by_label.items():
        if count < spec.require.min_per_label:
            raise UserError(
                f"The label {label} has {count:,} rows, but require.min_per_label is {spec.require.min_per_label:,}."
            )


def _warnings(build: Build, counts: Sequence[Count]) -> Iterator[str]:
    for split in SPLITS:
        if not any(each.split == split for each in counts):
            yield f"The split {split} is empty."
    (odd,) = _query(build, "oddities")
    if odd["conflicting"]:
        yield f"{odd['conflicting']:,} events were told with two times of occurrence: the first told holds."
    if odd["known_before"]:
        yield f"{odd['known_before']:,} labels were known before their event: they may leak into what predicts them."
    for row in _query(build, "telling_attributes"):
        yield f"The attribute {row['key']} alone tells every label ({row['examples']:,} rows): it may be a leak."


def _query(build: Build, name: str) -> list[dict[str, Any]]:
    values = {"least": _MIN_TELLING} if name == "telling_attributes" else {}
    return build.warehouse.query(build.template(name), parameters(values))

"""The report of a build: the ledger, counts by split and label, warnings, and the checks that make it fail."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rawless.datasets import features
from rawless.datasets.compile import OUTSIDE, CompiledDataset
from rawless.datasets.label_shares import differing_shares
from rawless.datasets.marks import Step
from rawless.datasets.near_duplicates import BUCKET_LIMIT
from rawless.datasets.snapshots import Count, Removal
from rawless.datasets.spec import SPLITS, DatasetSpec
from rawless.datasets.splits import NEAR_DUPLICATES
from rawless.errors import UserError
from rawless.warehouse.parameters import parameters

_MIN_ROWS_OF_LEAK = 20
"""With fewer rows, an attribute that determines the label is no surprise."""

_LABEL_TYPES = {
    "class": ("STRING", "INTEGER", "INT64", "BOOLEAN", "BOOL"),
    "number": ("INTEGER", "INT64", "FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC"),
}


@dataclass(frozen=True)
class BuildReport:
    """What a build made of the examples."""

    ledger: tuple[Removal, ...]
    counts: tuple[Count, ...]
    warnings: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Return the number of rows of the snapshot."""
        return sum(count.row_count for count in self.counts)


@dataclass(frozen=True)
class Marked:
    """What the working tables say of the examples that one step removed, or of the remaining ones."""

    examples: int
    first_at: datetime | None
    last_at: datetime | None
    is_tied: bool
    conflicting: int
    """Events that were delivered with two times of occurrence."""
    known_before: int
    """Examples whose label was known before the event."""
    events: int
    least_hash: int | None
    most_hash: int | None
    hashes: int
    """Hashes of the encoder's fingerprint, which are all the same."""


def count_marks(compiled: CompiledDataset) -> dict[int | None, Marked]:
    """Read the working tables once, after the last mark, and return what they say by step; None is what remains."""
    return {row.pop("step"): Marked(**row) for row in _query(compiled, "ledger")}


def make_report(
    compiled: CompiledDataset, steps: Sequence[Step], marked: Mapping[int | None, Marked], *, is_written: bool
) -> BuildReport:
    """Return the report of a build. A snapshot that is not written has no rows."""
    found = _query(compiled, "counts") if is_written else []
    capped = sum(row.pop("capped") for row in found)
    counts = tuple(Count(**row) for row in found)
    rows = sum(count.row_count for count in counts)
    lines = _removals(steps, {step: each.examples for step, each in marked.items()}, rows)
    return BuildReport(lines, counts, tuple(_warnings(compiled, marked.get(None), counts, capped)))


def _removals(steps: Sequence[Step], removed: dict[int | None, int], rows: int) -> tuple[Removal, ...]:
    remaining, lines = sum(removed.values()), []
    if steps[-1].name == NEAR_DUPLICATES:  # left out while the rows were written
        removed = {**removed, len(steps) - 1: removed.get(None, 0) - rows}
    for position, step in enumerate(steps):
        lines.append(Removal(step.name, step.parameters, remaining, removed.get(position, 0)))
        remaining -= removed.get(position, 0)
    return tuple(lines)


def check_label_type(compiled: CompiledDataset) -> None:
    """Raise UserError for a class that is not a text, a whole number or a boolean, and for a number that is a text."""
    label, statement = compiled.spec.label, compiled.label_type()
    (kind,) = compiled.warehouse.types(statement.sql, statement.parameters).values()
    if kind not in _LABEL_TYPES[label.type]:
        fix = "cast it to INT64 or STRING" if label.type == "class" else "cast it to FLOAT64"
        raise UserError(
            f"{compiled.label.query.where} returns label as {kind}, which is no type of a {label.type}: its text may "
            f"be read in several ways, such as 1 and 1.0; {fix}."
        )


def check_labels(compiled: CompiledDataset, marked: Mapping[int | None, Marked]) -> None:
    """Raise UserError for labels outside the classes or the range, with their number but without a value."""
    outside = marked[OUTSIDE].examples if OUTSIDE in marked else 0
    if outside:
        label = compiled.spec.label
        allowed = "classes" if label.type == "class" else f"range {list(label.range or ())}"
        raise UserError(
            f"{outside:,} events have a label outside the {allowed} of the dataset: correct the label's query, or "
            "extend the dataset. The values are not printed because they may be confidential."
        )


def check_requirements(spec: DatasetSpec, report: BuildReport) -> None:
    """Raise UserError when no rows remain, or fewer than the specification requires."""
    if not report.rows:
        largest = max(report.ledger, key=lambda line: line.removed)
        raise UserError(
            f"No rows remain. The step {largest.rule} removed the most ({largest.removed:,} of {largest.rows_in:,})."
        )
    if report.rows < spec.require.min_rows:
        raise UserError(f"{report.rows:,} rows are left, but require.min_rows is {spec.require.min_rows:,}.")
    if spec.label.type == "number":
        return
    by_label = {name: sum(c.row_count for c in report.counts if c.label == name) for name in spec.label.classes}
    if sum(count > 0 for count in by_label.values()) < 2:
        raise UserError(f"All {report.rows:,} rows have one label, so nothing can be learned: check label and rules.")
    for label, count in by_label.items():
        if count < spec.require.min_per_label:
            raise UserError(
                f"The label {label} has {count:,} rows, but require.min_per_label is {spec.require.min_per_label:,}."
            )


def _warnings(
    compiled: CompiledDataset, remaining: Marked | None, counts: Sequence[Count], capped: int
) -> Iterator[str]:
    for split in SPLITS:
        if not any(count.split == split for count in counts):
            yield f"The split {split} is empty."
    yield from differing_shares(counts)
    if remaining and remaining.conflicting:
        yield f"{remaining.conflicting:,} events were delivered with two times of occurrence; the first one is used."
    if remaining and remaining.known_before:
        yield f"{remaining.known_before:,} labels were known before their event: they may leak into the features."
    if capped:
        yield (
            f"{capped:,} rows of validation and test were compared with {BUCKET_LIMIT} vectors of train in a bucket, "
            "and not with all: near duplicates may remain."
        )
    if not counts:
        return
    for row in _query(compiled, "attributes_that_determine_label", {"least": _MIN_ROWS_OF_LEAK}):
        yield f"The attribute {row['key']} alone determines every label ({row['examples']:,} rows): it may be a leak."
    yield from _feature_warnings(compiled)


def _feature_warnings(compiled: CompiledDataset) -> Iterator[str]:
    if columns := compiled.features:
        statement = compiled.feature_problems()
        (counts,) = compiled.warehouse.query(statement.sql, statement.parameters)
        yield from features.warnings(columns, counts)


def _query(compiled: CompiledDataset, name: str, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    return compiled.warehouse.query(compiled.render(name), parameters(values or {}))

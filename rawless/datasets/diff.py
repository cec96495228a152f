"""Compare two snapshots: which rows differ, and which rule each difference is due to."""

import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from rawless.config import check
from rawless.datasets import frozen_sources, snapshot_tables, staging_tables
from rawless.datasets.build import BuildRun, OnStep, select_examples
from rawless.datasets.compile import compile_dataset
from rawless.datasets.dataset import Dataset
from rawless.datasets.snapshots import Manifest
from rawless.datasets.splits import NEAR_DUPLICATES
from rawless.warehouse.client import Warehouse

_UNKNOWN = "not eligible, or not known yet"
_CHANGED = "its source has changed since"

ChangeKind = Literal["in", "out", "relabelled", "re-split"]


@dataclass(frozen=True)
class Move:
    """One example that differs."""

    example_id: str
    change: ChangeKind
    before: str | None
    """The label, if the example is relabelled, otherwise the split."""
    after: str | None
    rule: str | None
    """The rule that excludes the example from the snapshot that lacks it."""


def diff(warehouse: Warehouse, before: Manifest, after: Manifest, on_step: OnStep) -> list[Move]:
    """Return every example that is in one snapshot only, or has another label or split. Raises UserError.

    The rules of both datasets run again, to find the rule that each row in or out is due to.
    """
    with selected(warehouse, before, on_step) as one, selected(warehouse, after, on_step) as other:
        compiled = one.compiled
        tables = [snapshot_tables.table_id(warehouse, each.snapshot_id) for each in (before, after)]
        names = {"before": compiled, "after": other.compiled, "before_snapshot": tables[0], "after_snapshot": tables[1]}
        rows = warehouse.query(compiled.render("compared", **names))
        return [move for row in rows for move in _moves(row, one, other)]


def summarise(moves: list[Move]) -> list[dict[str, Any]]:
    """Return the number of moves by change and rule, the largest first."""
    counts = Counter((move.change, move.rule or "") for move in moves)
    return [{"change": change, "rule": rule, "rows": count} for (change, rule), count in counts.most_common()]


def dataset_of(manifest: Manifest) -> Dataset:
    """Return the dataset that a manifest stores. Raises UserError when this version cannot read it."""
    return check(manifest.spec, Dataset, where=f"The manifest of {manifest.snapshot_id}")


@contextmanager
def selected(warehouse: Warehouse, manifest: Manifest, on_step: OnStep) -> Iterator[BuildRun]:
    """Select the examples of a snapshot again, in temporary working tables."""
    compiled = compile_dataset(warehouse, dataset_of(manifest), temporary_id=secrets.token_hex(12))
    with staging_tables.working_tables(compiled):
        yield select_examples(frozen_sources.with_copies(compiled, manifest.snapshot_id), on_step)


def _moves(row: dict[str, Any], one: BuildRun, other: BuildRun) -> Iterator[Move]:
    example_id = row["example_id"]
    if row["split_before"] is None:
        yield Move(example_id, "in", None, row["split_after"], _rule(row, one))
    elif row["split_after"] is None:
        yield Move(example_id, "out", row["split_before"], None, _rule(row, other))
    else:
        if row["split_before"] != row["split_after"]:
            yield Move(example_id, "re-split", row["split_before"], row["split_after"], None)
        if row["label_before"] != row["label_after"]:
            yield Move(example_id, "relabelled", row["label_before"], row["label_after"], None)


def _rule(row: dict[str, Any], run: BuildRun) -> str:
    """Return what removed the row from the snapshot that lacks it."""
    if not row["is_known"]:
        return _UNKNOWN
    if row["removed_by"] is not None:
        return str(run.steps[row["removed_by"]].name)
    # Near duplicates are found by vectors, which are not read again here.
    return NEAR_DUPLICATES if run.compiled.spec.split.near_duplicates else _CHANGED

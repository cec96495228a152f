"""What moved between two snapshots, and which rule moved it."""

import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from rawless.config import check
from rawless.datasets import frozen_sources, staging_tables
from rawless.datasets.build import Run, Told, mark, prepare
from rawless.datasets.dataset import Dataset
from rawless.datasets.snapshots import Manifest
from rawless.datasets.splits import NEAR_DUPLICATES
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters

_UNKNOWN = "not eligible, or not known yet"
_CHANGED = "its source has changed since"

Change = Literal["in", "out", "relabelled", "re-split"]


@dataclass(frozen=True)
class Move:
    """One example that differs."""

    example_id: str
    change: Change
    before: str | None
    """Label or split."""
    after: str | None
    rule: str | None
    """What keeps it out of the one snapshot or the other."""


def diff(warehouse: Warehouse, before: Manifest, after: Manifest, told: Told) -> list[Move]:
    """Every example that is in one alone, or has another label or split. Raises UserError.

    Both datasets' rules are run again, so that each row in or out can be told with the rule that it is due to.
    """
    with _marked(warehouse, before, told) as one, _marked(warehouse, after, told) as other:
        statement = one.build.template("compared", before=one.build.example, after=other.build.example)
        ids = parameters({"before_id": before.snapshot_id, "after_id": after.snapshot_id})
        return [move for row in warehouse.query(statement, ids) for move in _moves(row, one, other)]


def summed(moves: list[Move]) -> list[dict[str, Any]]:
    """Counts by change and rule, the largest first."""
    counts = Counter((move.change, move.rule or "") for move in moves)
    return [{"change": change, "rule": rule, "rows": count} for (change, rule), count in counts.most_common()]


def dataset_of(manifest: Manifest) -> Dataset:
    """The dataset that a manifest holds. Raises UserError when this version cannot read it."""
    return check(manifest.spec, Dataset, where=f"The manifest of {manifest.snapshot_id}")


@contextmanager
def _marked(warehouse: Warehouse, manifest: Manifest, told: Told) -> Iterator[Run]:
    build = prepare(warehouse, dataset_of(manifest), secrets.token_hex(12))
    with staging_tables.tables(build):
        yield mark(frozen_sources.kept(build, manifest.snapshot_id), told)


def _moves(row: dict[str, Any], one: Run, other: Run) -> Iterator[Move]:
    name = row["example_id"]
    if row["split_before"] is None:
        yield Move(name, "in", None, row["split_after"], _rule(row, one))
    elif row["split_after"] is None:
        yield Move(name, "out", row["split_before"], None, _rule(row, other))
    else:
        if row["split_before"] != row["split_after"]:
            yield Move(name, "re-split", row["split_before"], row["split_after"], None)
        if row["label_before"] != row["label_after"]:
            yield Move(name, "relabelled", row["label_before"], row["label_after"], None)


def _rule(row: dict[str, Any], run: Run) -> str:
    """What removed the row from the snapshot that lacks it."""
    if not row["is_known"]:
        return _UNKNOWN
    if row["removed_by"] is not None:
        return str(run.steps[row["removed_by"]].name)
    # Near duplicates are told by vectors, which are not read again here.
    return NEAR_DUPLICATES if run.build.dataset.spec.split.near_duplicates else _CHANGED

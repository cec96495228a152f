"""Reading a snapshot as what a head is trained and evaluated on: inputs, labels and attributes, by split."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import torch

from rawless.datasets.snapshots import Manifest
from rawless.datasets.spec import Split
from rawless.errors import UserError
from rawless.heads import kinds
from rawless.heads.features import HeadFeature, choose_features
from rawless.heads.fit import Rows
from rawless.heads.modules import Head
from rawless.heads.readers import attributes_of, events_of, ids_of, splits_of
from rawless.heads.spec import HeadSpec
from rawless.warehouse.client import Warehouse

if TYPE_CHECKING:
    from rawless.heads.head_kind import HeadKind


@dataclass(frozen=True)
class Examples:
    """The rows of one split, with month and attributes, whether a vector is adapted, events and person of each."""

    rows: Rows
    facts: pd.DataFrame
    events: Sequence[tuple[str, ...]]
    """The id of each row's event; two for a pair."""
    persons: Sequence[str | None]
    """The person of each row, if known; for a pair that of its left event."""

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: Sequence[int]) -> "Examples":
        """Return the rows at these indices."""
        rows = self.rows.take(torch.tensor(indices, dtype=torch.int64))
        events, persons = [self.events[n] for n in indices], [self.persons[n] for n in indices]
        return Examples(rows, self.facts.iloc[list(indices)], events, persons)


@dataclass(frozen=True)
class Task:
    """What a head learns: its spec, the snapshot, and the rows of the snapshot by split."""

    spec: HeadSpec
    manifest: Manifest
    splits: dict[Split, Examples]
    tenants: tuple[str, ...] = ()
    features: tuple[HeadFeature, ...] = ()
    """The features beside the vectors, which are the last of the inputs of rows."""

    @property
    def kind(self) -> "HeadKind[Any]":
        """The kind of the head."""
        return kinds.find(self.spec.kind)

    @property
    def dimension(self) -> int:
        """The dimension of the vectors."""
        return int(self.splits["train"].rows.inputs[0].shape[1])

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in the order of the labels; none when the labels are numbers."""
        return self.kind.classes(self.spec, self.manifest)

    def restricted_to(self, events: Collection[str]) -> "Task":
        """Return the task over the rows all of whose events are among these."""

        def kept(part: Examples) -> Examples:
            return part.take([row for row, own in enumerate(part.events) if all(event in events for event in own)])

        return replace(self, splits={split: kept(part) for split, part in self.splits.items()})

    def with_vectors(self, vectors: Mapping[str, npt.NDArray[np.float32]]) -> "Task":
        """Return the task with other vectors, by event id. Rows of events that have none are left out."""
        sides = 2 if self.kind.is_of_pairs else 1

        def replaced(part: Examples) -> Examples:
            new = (np.array([vectors[events[side]] for events in part.events], np.float32) for side in range(sides))
            inputs = (*(torch.from_numpy(each) for each in new), *part.rows.inputs[sides:])
            return replace(part, rows=replace(part.rows, inputs=inputs)) if len(part) else part

        kept = self.restricted_to(vectors)
        return replace(kept, splits={split: replaced(part) for split, part in kept.splits.items()})

    def without_features(self) -> "Task":
        """Return the same task over the vectors alone."""
        splits = {
            split: replace(part, rows=replace(part.rows, inputs=part.rows.inputs[:1]))
            for split, part in self.splits.items()
        }
        return replace(self, splits=splits, features=())


def open_task(warehouse: Warehouse, spec: HeadSpec, manifest: Manifest, tenants: Sequence[str] = ()) -> Task:
    """Read the rows of a snapshot as a head's spec needs them. Raises UserError when they do not fit.

    `tenants` are those of a trained head; by default those of the train split.
    """
    kind = kinds.find(spec.kind)
    kind.check(spec, manifest)
    features = choose_features(spec.features, manifest)
    tables = splits_of(warehouse, manifest)
    for split in ("train", "test"):
        if not len(tables[split]):
            raise UserError(f"The split {split} of {manifest.snapshot_id} is empty: build a dataset that has one.")
    tenants = tuple(tenants) or kind.tenants(spec, tables["train"])

    def examples(table: pa.Table) -> Examples:
        inputs, labels = kind.inputs(spec, manifest, table, tenants), kind.labels(spec, manifest, table)
        months = table["occurred_at"].to_pandas().dt.strftime("%Y-%m")
        facts = pd.DataFrame({"month": months, **attributes_of(table)})
        if manifest.adapted:
            is_native = table["encoder_fingerprint"].to_pandas() == manifest.fingerprint
            facts["vector"] = is_native.map({True: "native", False: "adapted"})
        rows = Rows(inputs, labels, ids_of(table))
        return Examples(rows, facts, events_of(table), table["person_key"].to_pylist())

    return Task(spec, manifest, {split: examples(table) for split, table in tables.items()}, tenants, features)


def make_head(task: Task) -> Head:
    """Return an untrained head for a task, scaled to its train split; the same seed gives the same head."""
    with torch.random.fork_rng():
        torch.manual_seed(task.spec.seed)
        return task.kind.build(task.spec, task)

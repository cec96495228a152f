"""From a snapshot to what a head is trained and judged on: its inputs and labels, and what slices are cut by."""

from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import torch

from rawless.datasets.snapshots import Manifest
from rawless.datasets.spec import Split
from rawless.errors import UserError
from rawless.heads.fit import Rows
from rawless.heads.modules import Classifier, Head, Pair, QueryTransform, Regression
from rawless.heads.readers import attributes_of, ids_of, splits_of, targets_of, vectors_of
from rawless.heads.spec import HeadSpec
from rawless.warehouse.client import Warehouse

OTHERS = ""
"""The tenant of rows whose attribute is missing, or was not in train."""


@dataclass(frozen=True)
class Examples:
    """The rows of one split, and beside each its month and attributes."""

    rows: Rows
    facts: pd.DataFrame

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Task:
    """What a head learns: the snapshot, and its rows by split."""

    spec: HeadSpec
    manifest: Manifest
    splits: dict[Split, Examples]
    tenants: tuple[str, ...] = ()

    @property
    def dimension(self) -> int:
        """Of the vectors."""
        return int(self.splits["train"].rows.inputs[0].shape[1])

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the labels; none when they are numbers."""
        return self.manifest.classes


def open_task(warehouse: Warehouse, spec: HeadSpec, manifest: Manifest) -> Task:
    """The rows of a snapshot as a head's spec wants them. Raises UserError when they do not fit."""
    _check(spec, manifest)
    found = splits_of(warehouse, manifest)
    for split in ("train", "test"):
        if not len(found[split]):
            raise UserError(f"The split {split} of {manifest.snapshot_id} is empty: build a dataset that has one.")
    tenants = _tenants(spec, found["train"])
    splits = {split: _examples(spec, manifest, rows, tenants) for split, rows in found.items()}
    return Task(spec, manifest, splits, tenants)


def _check(spec: HeadSpec, manifest: Manifest) -> None:
    if spec.is_of_pairs != manifest.is_pairs:
        kinds = "pairs of events" if manifest.is_pairs else "single events"
        raise UserError(f"A head of kind {spec.kind} cannot be trained on {manifest.snapshot_id}, which has {kinds}.")
    if spec.is_of_pairs and (manifest.is_number or len(manifest.classes) != 2):
        raise UserError(f"A head of kind {spec.kind} needs a label of two classes: match and no match.")
    if spec.positive is not None and spec.positive not in manifest.classes:
        raise UserError(f"positive is {spec.positive!r}, but the classes are {', '.join(manifest.classes)}.")


def _tenants(spec: HeadSpec, train: pa.Table) -> tuple[str, ...]:
    if spec.tenant is None:
        return ()
    if (told := attributes_of(train).get(spec.tenant)) is None:
        raise UserError(f"tenant is {spec.tenant}, but no row of train has that attribute.")
    return (OTHERS, *sorted({each for each in told if each is not None}))


def _examples(spec: HeadSpec, manifest: Manifest, rows: pa.Table, tenants: tuple[str, ...]) -> Examples:
    inputs, attributes = [torch.from_numpy(each) for each in vectors_of(manifest, rows)], attributes_of(rows)
    if spec.tenant is not None:
        places = {name: place for place, name in enumerate(tenants)}
        told = attributes.get(spec.tenant, [None] * len(rows))
        inputs.append(torch.tensor([places.get(each or OTHERS, 0) for each in told], dtype=torch.int64))
    facts = pd.DataFrame({"month": rows["occurred_at"].to_pandas().dt.strftime("%Y-%m"), **attributes})
    return Examples(Rows(tuple(inputs), _labels(spec, manifest, rows), ids_of(rows)), facts)


def _labels(spec: HeadSpec, manifest: Manifest, rows: pa.Table) -> torch.Tensor:
    """Of a pair 1 where it is a match."""
    targets = torch.from_numpy(targets_of(manifest, rows))
    if not spec.is_of_pairs:
        return targets
    positive = spec.positive or manifest.classes[-1]
    return (targets == manifest.classes.index(positive)).long()


def make_head(task: Task) -> Head:
    """An untrained head for a task, scaled to its train rows; the same from the same seed."""
    spec, rows = task.spec, task.splits["train"].rows
    with torch.random.fork_rng():
        torch.manual_seed(spec.seed)
        if spec.kind == "query_transform":
            return QueryTransform(task.dimension, len(task.tenants))
        if spec.kind == "pair":
            pair = Pair(task.dimension, spec.hidden, spec.dropout)
            pair.fit_scale(*rows.inputs)
            return pair
        if task.manifest.is_number:
            regression = Regression(task.dimension, spec.hidden, spec.dropout)
            regression.fit_scale(rows.inputs[0], rows.labels)
            return regression
        classifier = Classifier(task.dimension, spec.hidden, len(task.classes), spec.dropout)
        classifier.fit_scale(*rows.inputs)
        return classifier

"""From a snapshot to what a head is trained and judged on: its inputs and labels, and what slices are cut by."""

from dataclasses import dataclass

import pandas as pd
import torch

from heads.kinds import Classifier, Head, Pair, QueryTransform, Regression
from heads.readers import frame, matrix_of
from heads.spec import HeadSpec
from heads.train import Rows
from privacy import UserError
from sql.datasets.spec import SPLITS, Split
from sql.snapshots import Manifest
from sql.warehouse import Warehouse

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
    frames = {split: frame(warehouse, manifest.snapshot_id, split) for split in SPLITS}
    for split in ("train", "test"):
        if frames[split].empty:
            raise UserError(f"The split {split} of {manifest.snapshot_id} is empty: build a dataset that has one.")
    tenants = _tenants(spec, frames["train"])
    splits = {split: _examples(spec, manifest, rows, tenants) for split, rows in frames.items()}
    return Task(spec, manifest, splits, tenants)


def _check(spec: HeadSpec, manifest: Manifest) -> None:
    if spec.is_of_pairs != manifest.is_pairs:
        kinds = "pairs of events" if manifest.is_pairs else "single events"
        raise UserError(f"A head of kind {spec.kind} cannot be trained on {manifest.snapshot_id}, which has {kinds}.")
    if spec.is_of_pairs and (manifest.is_number or len(manifest.classes) != 2):
        raise UserError(f"A head of kind {spec.kind} needs a label of two classes: match and no match.")
    if spec.positive is not None and spec.positive not in manifest.classes:
        raise UserError(f"positive is {spec.positive!r}, but the classes are {', '.join(manifest.classes)}.")


def _tenants(spec: HeadSpec, train: pd.DataFrame) -> tuple[str, ...]:
    if spec.tenant is None:
        return ()
    if (column := f"attribute.{spec.tenant}") not in train:
        raise UserError(f"tenant is {spec.tenant}, but no row of train has that attribute.")
    return (OTHERS, *sorted(set(train[column].dropna())))


def _examples(spec: HeadSpec, manifest: Manifest, rows: pd.DataFrame, tenants: tuple[str, ...]) -> Examples:
    names = ("embedding", "right_embedding") if manifest.is_pairs else ("embedding",)
    inputs = [torch.from_numpy(matrix_of(rows[name])).float() for name in names]
    if tenants:
        places = {name: place for place, name in enumerate(tenants)}
        told = [places.get(value, 0) for value in rows[f"attribute.{spec.tenant}"]]
        inputs.append(torch.tensor(told, dtype=torch.int64))
    ids = rows["event_id"] if "event_id" in rows else rows["left_event_id"] + "/" + rows["right_event_id"]
    facts = pd.DataFrame({"month": rows["occurred_at"].dt.strftime("%Y-%m")})
    for name in rows.columns:
        if name.startswith("attribute."):
            facts[name.removeprefix("attribute.")] = rows[name]
    return Examples(Rows(tuple(inputs), _labels(spec, manifest, rows), list(ids)), facts)


def _labels(spec: HeadSpec, manifest: Manifest, rows: pd.DataFrame) -> torch.Tensor:
    if manifest.is_number:
        return torch.from_numpy(rows["label_value"].to_numpy("float32"))
    if spec.is_of_pairs:
        positive = spec.positive or manifest.classes[-1]
        return torch.from_numpy((rows["label"] == positive).to_numpy("int64"))
    places = pd.Categorical(rows["label"], categories=list(manifest.classes)).codes
    return torch.from_numpy(places.astype("int64"))


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

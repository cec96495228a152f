"""Reading a snapshot as a pandas frame, a torch `Dataset` or Hugging Face `datasets` tables.

All readers read the table of the snapshot only, keep the rows in memory, sorted by id, and call no encoder.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rawless.datasets.snapshots import SCHEMA, Manifest, batches, find
from rawless.datasets.spec import SPLITS, Split
from rawless.errors import UserError
from rawless.heads.features import HeadFeature, choose_features
from rawless.warehouse.client import Warehouse

if TYPE_CHECKING:
    import datasets

    from rawless.heads.torch_dataset import Vectors

_IDS = ("event_id", "left_event_id", "right_event_id")


def frame(warehouse: Warehouse, reference: str, split: Split | None = None) -> pd.DataFrame:
    """Return the rows of a snapshot, or of one split, as a pandas frame.

    `embedding` is a float64 array of shape (dimension,) in each row. Attributes are columns named `attribute.KEY`, with
    None where a row lacks them, and features columns named `feature.NAME`, with None or NaN where they are missing.
    Where a snapshot has adapted rows, `encoder_fingerprint` says which they are.
    Pairs have the columns `left_event_id`, `right_event_id`, `embedding` and `right_embedding`. `frame.attrs` contains
    the snapshot's id, dataset, fingerprint, space and classes. Raises UserError when there is no such snapshot.
    """
    manifest, rows = _read(warehouse, reference, split)
    table = pd.DataFrame({name: rows[name].to_pandas() for name in _scalar_columns(manifest)})
    table["embedding"] = list(matrix(rows["embedding"]))
    if manifest.is_pairs:
        table["right_embedding"] = list(matrix(rows["right_embedding"]))
    for key, values in attributes_of(rows).items():
        table[f"attribute.{key}"] = values
    for name, column in features_of(manifest, rows).items():
        table[f"feature.{name}"] = column
    table.attrs.update(_snapshot_attributes(manifest))
    return table


def torch_dataset(warehouse: Warehouse, reference: str, split: Split | None = None) -> "Vectors":
    """Return the rows of a snapshot as a torch `Dataset` of (vector, label), or ((left, right), label) for pairs.

    Items of a snapshot with features are ((vector, features), label), with the features as heads take them. Raises
    UserError when there is no such snapshot.
    """
    import torch

    from rawless.heads.torch_dataset import Vectors

    manifest, rows = _read(warehouse, reference, split)
    sides, features = vectors_of(manifest, rows), choose_features("all", manifest)
    if features:
        sides.append(feature_matrix(manifest, rows, features))
    ids = [events if manifest.is_pairs else events[0] for events in events_of(rows)]
    labels = torch.from_numpy(targets_of(manifest, rows))
    return Vectors(tuple(map(torch.from_numpy, sides)), labels, manifest.classes, ids, features)


def hugging_face(warehouse: Warehouse, reference: str) -> "datasets.DatasetDict":
    """Return the three splits of a snapshot as Hugging Face `datasets`, in memory and without a cache on disk.

    The label is a `ClassLabel` with the snapshot's classes in their order, or a float. Raises UserError when there is
    no such snapshot, or the package `datasets` is not installed.
    """
    try:
        import datasets
    except ImportError:
        raise UserError("The package datasets is not installed: run `pip install 'rawless[datasets]'`.") from None
    manifest = find(warehouse, reference)
    splits = splits_of(warehouse, manifest)
    return datasets.DatasetDict({split: _hugging_face(manifest, rows) for split, rows in splits.items()})


def _hugging_face(manifest: Manifest, rows: pa.Table) -> "datasets.Dataset":
    import datasets

    unused = ["event_id"] if manifest.is_pairs else ["left_event_id", "right_event_id", "right_embedding"]
    unused.append("label" if manifest.is_number else "label_value")
    if not manifest.features:
        unused.append("features")
    if not manifest.adapted:
        unused.append("encoder_fingerprint")
    kept = rows.drop_columns(["stream", "split", *unused])
    table = datasets.Dataset(kept)
    if manifest.is_number:
        return table.rename_column("label_value", "label")
    labelled = kept.set_column(kept.column_names.index("label"), "label", pa.array(targets_of(manifest, rows)))
    features = {**table.features, "label": datasets.ClassLabel(names=list(manifest.classes))}
    return datasets.Dataset(labelled, datasets.DatasetInfo(features=datasets.Features(features)))


def splits_of(warehouse: Warehouse, manifest: Manifest) -> dict[Split, pa.Table]:
    """Return the rows of a snapshot as an Arrow table for each split, in one read."""
    rows = rows_of(warehouse, manifest)
    return {split: rows.filter(pc.equal(rows["split"], split)) for split in SPLITS}


def _read(warehouse: Warehouse, reference: str, split: Split | None) -> tuple[Manifest, pa.Table]:
    manifest = find(warehouse, reference)
    return manifest, rows_of(warehouse, manifest, split)


def rows_of(warehouse: Warehouse, manifest: Manifest, split: Split | None = None) -> pa.Table:
    """Return the rows of a snapshot, or of one split, as an Arrow table."""
    rows = pa.Table.from_batches(batches(warehouse, manifest.snapshot_id, split), SCHEMA)
    return rows.sort_by([(name, "ascending") for name in _IDS])


def _scalar_columns(manifest: Manifest) -> list[str]:
    ids = _IDS[1:] if manifest.is_pairs else _IDS[:1]
    label = "label_value" if manifest.is_number else "label"
    marks = ["encoder_fingerprint"] if manifest.adapted else []
    return [*ids, "occurred_at", label, "split", "person_key", *marks]


def attributes_of(rows: pa.Table) -> dict[str, list[str | None]]:
    """Return the values of each attribute key that occurs, one per row, with None where a row lacks it."""
    attributes = [{pair["key"]: pair["value"] for pair in row} for row in rows["attributes"].to_pylist()]
    return {key: [row.get(key) for row in attributes] for key in sorted({key for row in attributes for key in row})}


def features_of(manifest: Manifest, rows: pa.Table) -> dict[str, list[str | float | None]]:
    """Return the values of each feature, sorted by name: one per row, with None where it is missing."""
    kinds = {name: "value" if feature.type == "number" else "category" for name, feature in manifest.features.items()}
    if not kinds:
        return {}
    features = [{each["name"]: each for each in row} for row in rows["features"].to_pylist()]
    return {name: [row[name][field] for row in features] for name, field in kinds.items()}


def feature_matrix(manifest: Manifest, rows: pa.Table, features: Sequence[HeadFeature]) -> npt.NDArray[np.float32]:
    """Return features as the input `features` of a head has them, of shape (rows, features)."""
    values = features_of(manifest, rows)
    matrix = np.empty((len(rows), len(features)), np.float32)
    for column, feature in enumerate(features):
        indices: dict[Any, float] = {name: index for index, name in enumerate(feature.classes)}
        present = (indices.get(value, value) for value in values[feature.name])
        matrix[:, column] = [np.nan if value is None else value for value in present]
    return matrix


def ids_of(rows: pa.Table) -> list[str]:
    """Return the id of each row; for a pair both ids, joined with a slash."""
    return ["/".join(events) for events in events_of(rows)]


def events_of(rows: pa.Table) -> list[tuple[str, ...]]:
    """Return the ids of the events of each row: one, or two for a pair."""
    singles, lefts, rights = (rows[name].to_pylist() for name in _IDS)
    return [
        (left, right) if single is None else (single,)
        for single, left, right in zip(singles, lefts, rights, strict=True)
    ]


def targets_of(manifest: Manifest, rows: pa.Table) -> npt.NDArray[Any]:
    """Return labels as int64 indices of classes, or as float32 numbers."""
    if manifest.is_number:
        return np.asarray(rows["label_value"].to_numpy(), np.float32)
    indices = {name: index for index, name in enumerate(manifest.classes)}
    return np.array([indices[label] for label in rows["label"].to_pylist()], np.int64)


def vectors_of(manifest: Manifest, rows: pa.Table) -> list[npt.NDArray[np.float32]]:
    """Return the vectors of rows, for pairs the left and the right ones, as arrays of shape (rows, dimension)."""
    names = ("embedding", "right_embedding") if manifest.is_pairs else ("embedding",)
    return [matrix(rows[name]).astype(np.float32) for name in names]


def matrix(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Return a column of vectors of one dimension as an array of shape (rows, dimension)."""
    vectors = column.combine_chunks()
    if not len(vectors):
        return np.empty((0, 0))
    return np.asarray(vectors.flatten().to_numpy()).reshape(len(vectors), -1)


def _snapshot_attributes(manifest: Manifest) -> dict[str, Any]:
    return {
        "snapshot_id": manifest.snapshot_id,
        "dataset": manifest.dataset,
        "encoder_fingerprint": manifest.fingerprint,
        "encoder_space": manifest.space,
        "classes": list(manifest.classes),
    }

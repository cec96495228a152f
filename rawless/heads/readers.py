"""A snapshot in one call: as a pandas frame, as a torch `Dataset`, as Hugging Face `datasets` tables.

All of them read `snapshot_v1` alone, hold the rows in memory in the order of their ids, and make no encoder call.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rawless.datasets.snapshots import SCHEMA, Manifest, batches, find
from rawless.datasets.spec import SPLITS, Split
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse

if TYPE_CHECKING:
    import datasets

    from rawless.heads.torch_dataset import Vectors

_IDS = ("event_id", "left_event_id", "right_event_id")
_UNTOLD = ("encoder_fingerprint", "stream")
"""The same for every row: told once, beside the rows."""


def frame(warehouse: Warehouse, reference: str, split: Split | None = None) -> pd.DataFrame:
    """The rows of a snapshot, or of one split: `embedding` is a float64 array of shape (dimension,) in each row.

    Attributes are columns named `attribute.KEY`, missing ones None. For pairs the columns are `left_event_id`,
    `right_event_id`, `embedding` and `right_embedding`. `frame.attrs` holds the snapshot's id, dataset, fingerprint and
    classes. Raises UserError for what is no snapshot.
    """
    manifest, rows = _read(warehouse, reference, split)
    made = pd.DataFrame({name: rows[name].to_pandas() for name in _scalars(manifest)})
    made["embedding"] = list(matrix(rows["embedding"]))
    if manifest.is_pairs:
        made["right_embedding"] = list(matrix(rows["right_embedding"]))
    for key, values in attributes_of(rows).items():
        made[f"attribute.{key}"] = values
    made.attrs.update(_about(manifest))
    return made


def torch_dataset(warehouse: Warehouse, reference: str, split: Split | None = None) -> "Vectors":
    """The rows of a snapshot as a torch `Dataset` of (vector, label), or ((left, right), label) for pairs.

    Raises UserError for what is no snapshot.
    """
    import torch

    from rawless.heads.torch_dataset import Vectors

    manifest, rows = _read(warehouse, reference, split)
    sides = tuple(torch.from_numpy(each) for each in vectors_of(manifest, rows))
    return Vectors(sides, torch.from_numpy(targets_of(manifest, rows)), manifest.classes, _ids(rows))


def hugging_face(warehouse: Warehouse, reference: str) -> "datasets.DatasetDict":
    """The three splits of a snapshot as Hugging Face `datasets`, in memory and in no cache on disk.

    The label is a `ClassLabel` of the snapshot's classes, in their order, or a float. Raises UserError for what is no
    snapshot, and where the package `datasets` is not installed.
    """
    try:
        import datasets
    except ImportError:
        raise UserError("The package datasets is not here: run `pip install 'rawless[datasets]'`.") from None
    manifest = find(warehouse, reference)
    splits = splits_of(warehouse, manifest)
    return datasets.DatasetDict({split: _hugging_face(manifest, rows) for split, rows in splits.items()})


def _hugging_face(manifest: Manifest, rows: pa.Table) -> "datasets.Dataset":
    import datasets

    unused = ["event_id"] if manifest.is_pairs else ["left_event_id", "right_event_id", "right_embedding"]
    unused.append("label" if manifest.is_number else "label_value")
    kept = rows.drop_columns([*_UNTOLD, "split", *unused])
    made = datasets.Dataset(kept)
    if manifest.is_number:
        return made.rename_column("label_value", "label")
    labelled = kept.set_column(kept.column_names.index("label"), "label", pa.array(targets_of(manifest, rows)))
    features = {**made.features, "label": datasets.ClassLabel(names=list(manifest.classes))}
    return datasets.Dataset(labelled, datasets.DatasetInfo(features=datasets.Features(features)))


def splits_of(warehouse: Warehouse, manifest: Manifest) -> dict[Split, pa.Table]:
    """The rows of a snapshot, read once, as an Arrow table for each split."""
    rows = _sorted(warehouse, manifest, None)
    return {split: rows.filter(pc.equal(rows["split"], split)) for split in SPLITS}


def _read(warehouse: Warehouse, reference: str, split: Split | None) -> tuple[Manifest, pa.Table]:
    manifest = find(warehouse, reference)
    return manifest, _sorted(warehouse, manifest, split)


def _sorted(warehouse: Warehouse, manifest: Manifest, split: Split | None) -> pa.Table:
    rows = pa.Table.from_batches(batches(warehouse, manifest.snapshot_id, split), SCHEMA)
    return rows.sort_by([(name, "ascending") for name in _IDS])


def _scalars(manifest: Manifest) -> list[str]:
    ids = _IDS[1:] if manifest.is_pairs else _IDS[:1]
    label = "label_value" if manifest.is_number else "label"
    return [*ids, "occurred_at", label, "split", "person_key"]


def attributes_of(rows: pa.Table) -> dict[str, list[str | None]]:
    """Of every key that a row has, the value in each row; None where it is missing."""
    told = [{each["key"]: each["value"] for each in row} for row in rows["attributes"].to_pylist()]
    return {key: [row.get(key) for row in told] for key in sorted({key for row in told for key in row})}


def ids_of(rows: pa.Table) -> list[str]:
    """The id of each row as heads tell it; of a pair both, with a slash between."""
    return ["/".join(each) if isinstance(each, tuple) else each for each in _ids(rows)]


def _ids(rows: pa.Table) -> list[Any]:
    """The id of each row, or the pair of ids."""
    singles, lefts, rights = (rows[name].to_pylist() for name in _IDS)
    return [one or (left, right) for one, left, right in zip(singles, lefts, rights, strict=True)]


def targets_of(manifest: Manifest, rows: pa.Table) -> npt.NDArray[Any]:
    """Labels as places in the classes, int64, or as float32 numbers."""
    if manifest.is_number:
        return np.asarray(rows["label_value"].to_numpy(), np.float32)
    places = {name: place for place, name in enumerate(manifest.classes)}
    return np.array([places[label] for label in rows["label"].to_pylist()], np.int64)


def vectors_of(manifest: Manifest, rows: pa.Table) -> list[npt.NDArray[np.float32]]:
    """The vectors of the rows, for pairs left and right ones, each as an array of shape (rows, dimension)."""
    names = ("embedding", "right_embedding") if manifest.is_pairs else ("embedding",)
    return [matrix(rows[name]).astype(np.float32) for name in names]


def matrix(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Vectors of one dimension as an array of shape (rows, dimension)."""
    whole = column.combine_chunks()
    if not len(whole):
        return np.empty((0, 0))
    return np.asarray(whole.flatten().to_numpy()).reshape(len(whole), -1)


def _about(manifest: Manifest) -> dict[str, Any]:
    return {
        "snapshot_id": manifest.snapshot_id,
        "dataset": manifest.dataset,
        "encoder_fingerprint": manifest.fingerprint,
        "classes": list(manifest.classes),
    }

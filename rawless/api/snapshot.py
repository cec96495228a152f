"""A snapshot of a dataset: its rows for pandas, torch and Hugging Face, its ledger, and a map of its vectors."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from rawless.api.installed import needs
from rawless.api.progress import progress
from rawless.api.shown import table
from rawless.datasets.snapshots import Manifest, batches, find
from rawless.datasets.spec import SPLITS, Split
from rawless.errors import UserError
from rawless.quantities import counted
from rawless.warehouse.client import Warehouse

if TYPE_CHECKING:
    import datasets
    import plotly.graph_objects as go

    from rawless.datasets.verify import Verdict
    from rawless.heads.torch_dataset import Vectors


class Snapshot:
    """Labelled rows with vectors, divided into train, validation and test, which never change."""

    def __init__(self, warehouse: Warehouse, manifest: Manifest, warnings: tuple[str, ...] = ()) -> None:
        self._warehouse = warehouse
        self.manifest = manifest
        self.warnings = warnings
        """What a build warned of."""

    @property
    def id(self) -> str:
        """The id of the snapshot, by which it is found for good."""
        return self.manifest.snapshot_id

    @property
    def encoder(self) -> str:
        """The encoder of the vectors, as NAME@VERSION."""
        return str(self.manifest.spec["spec"]["encoder"])

    @property
    def ledger(self) -> pd.DataFrame:
        """The rows before each rule, how many it removed, and how many were left."""
        lines = [line._asdict() | {"left": line.rows_in - line.removed} for line in self.manifest.ledger]
        return pd.DataFrame(lines, columns=["rule", "parameters", "rows_in", "removed", "left"])

    @property
    def counts(self) -> pd.DataFrame:
        """The rows by label (or all, if it is a number) and split."""
        found = pd.DataFrame(self.manifest.counts, columns=["split", "label", "rows"])
        table = found.pivot_table(index="label", columns="split", values="rows", aggfunc="sum", fill_value=0)
        return table.reindex(columns=list(SPLITS), fill_value=0).rename_axis(columns=None)

    def to_pandas(self, split: Split | None = None) -> pd.DataFrame:
        """Return the rows, or those of a split, as a frame whose column `embedding` has a float64 array in each row.

        See `rawless.heads.readers.frame` for its columns.
        """
        from rawless.heads.readers import frame

        return frame(self._warehouse, self.id, _checked(split))

    def to_torch(self, split: Split | None = None) -> "Vectors":
        """Return the rows, or those of a split, as a torch `Dataset` of (vector, label). Raises UserError."""
        from rawless.heads.readers import torch_dataset

        with needs("train", "A torch dataset"):
            return torch_dataset(self._warehouse, self.id, _checked(split))

    def to_hf(self) -> "datasets.DatasetDict":
        """Return the three splits as Hugging Face `datasets`. Raises UserError without that package."""
        from rawless.heads.readers import hugging_face

        return hugging_face(self._warehouse, self.id)

    def verify(self) -> "Verdict":
        """Return whether the stored rows, and those that the same dataset builds now, are those of the manifest."""
        from rawless.datasets.verify import verify

        with progress(f"Verifying {self.id}") as report:
            return verify(self._warehouse, self.manifest, report)

    def diff(self, other: "Snapshot | str") -> pd.DataFrame:
        """Return the rows that differ in another snapshot: what changed from this one to that, and by which rule."""
        from rawless.datasets.diff import diff

        if not isinstance(other, Snapshot | str):
            raise UserError(f"The other snapshot is of type {type(other).__name__}: give a snapshot, its id or a name.")
        after = other.manifest if isinstance(other, Snapshot) else find(self._warehouse, other)
        with progress(f"Comparing {self.id} with {after.snapshot_id}") as report:
            moves = diff(self._warehouse, self.manifest, after, report)
        return pd.DataFrame([vars(move) for move in moves], columns=["example_id", "change", "before", "after", "rule"])

    def plot(self, colour: str | None = None, projection: str | None = None) -> "go.Figure":
        """Return a map of the vectors, coloured by label, split or encoder, in the projection UMAP or PCA.

        Raises UserError without the libraries that draw it, and for a snapshot without rows.
        """
        from rawless.report import check_installed

        check_installed()
        from rawless.api.plots import map_figure
        from rawless.report.map_chart import embedding_map
        from rawless.report.projection import points

        with progress(f"Drawing the map of {self.id}") as report:
            report("projecting")
            chart = embedding_map(self.manifest, points(self.manifest, batches(self._warehouse, self.id)), ())
        if chart is None:
            raise UserError(f"The snapshot {self.id} has no rows, so there is nothing to draw.")
        return map_figure(chart, colour, projection)

    def __repr__(self) -> str:
        manifest = self.manifest
        return (
            f"Snapshot {self.id} of {manifest.dataset}: {counted(manifest.rows, 'row')} ({self._splits()}) by "
            f"{self.encoder}, as of {manifest.as_of:%Y-%m-%d %H:%M %Z}"
        )

    def _repr_html_(self) -> str:
        rows: list[list[Any]] = [
            [label or "(number)", *(f"{count:,}" for count in counts)]
            for label, counts in zip(self.counts.index, self.counts.to_numpy().tolist(), strict=True)
        ]
        return table(repr(self), ["label", *SPLITS], rows)

    def _splits(self) -> str:
        totals = self.counts.sum()
        return ", ".join(f"{split} {totals[split]:,}" for split in SPLITS)


def _checked(split: Any) -> Split | None:
    if split is None or split in SPLITS:
        checked: Split | None = split
        return checked
    raise UserError(f"split is {split!r}, but the rule is: {', '.join(SPLITS)}, or None for all rows.")

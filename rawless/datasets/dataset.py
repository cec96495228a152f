"""A dataset file together with the SQL of its label and rules."""

from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from rawless.config import FrozenModel
from rawless.datasets.adapted_rows import AdaptedRows
from rawless.datasets.query_files import Query, find_query
from rawless.datasets.spec import DatasetSpec, load_dataset


class Dataset(FrozenModel):
    """A dataset file with the texts of its queries. A manifest stores it, so that the snapshot can be rebuilt."""

    spec: DatasetSpec
    label: Query
    rules: tuple[Query, ...]
    """One for each rule of the spec, in the same order."""
    encoder_space: str | None = Field(default=None, exclude_if=lambda space: space is None)
    """In a manifest: the space of the vectors, where other encoders share it, see `EncoderSpec.space`."""
    adapted: AdaptedRows | None = Field(default=None, exclude_if=lambda rows: rows is None)
    """In a manifest of a dataset that takes adapted rows: how many there are."""


def open_dataset(path: Path, as_of: datetime | None = None) -> Dataset:
    """Read a dataset file with its label and rules; `as_of` overrides the file's. Raises UserError."""
    spec = load_dataset(path)
    if as_of is not None:
        spec = spec.model_copy(update={"as_of": as_of.astimezone(UTC)})
    return with_queries(spec, path.parent)


def with_queries(spec: DatasetSpec, folder: Path) -> Dataset:
    """Return a dataset with its label and rules; `folder` is that of its file. Raises UserError."""
    folder = (folder / spec.folder).resolve()
    return Dataset(
        spec=spec,
        label=find_query("labels", spec.label.query, folder),
        rules=tuple(find_query("rules", rule.name, folder) for rule in spec.rules),
    )

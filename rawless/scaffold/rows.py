"""Read what a project starts from, a file of rows or a folder of images, as rows in memory."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa

from rawless.content import ImageFormat
from rawless.errors import UserError
from rawless.events.payload import FORMS
from rawless.privacy import Raw, Reason, guarded
from rawless.warehouse import business_file
from rawless.warehouse.business_file import is_name

FILE, LABEL, CHANGED_AT = "file", "label", "changed_at"
"""The columns of a folder of images: the URI of each, the folder that it is in, and when it was changed."""
SUFFIXES: dict[str, ImageFormat] = {
    ".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp", ".gif": "gif", ".bmp": "bmp", ".tif": "tiff",
    ".tiff": "tiff", ".avif": "avif", ".jp2": "jp2", ".heic": "heic", ".heif": "heic",
}  # fmt: skip
"""The endings of names of images."""
_ATTRIBUTES = "attributes"


@dataclass(frozen=True)
class SourceRows:
    """The rows of a file or folder."""

    path: Path
    table: Raw[pa.Table]
    names: tuple[str, ...]
    """Its columns; the attributes of events have columns of their own."""
    changed_at: datetime = field(default=datetime(1970, 1, 1, tzinfo=UTC))
    """When the file was changed last, which stands for the time of events without one."""

    @property
    def is_folder(self) -> bool:
        """Return whether they are the images of a folder."""
        return self.path.is_dir()

    @property
    def are_events(self) -> bool:
        """Return whether `rawless ingest` reads the file as it is."""
        needed = {"event_id", "occurred_at", *(("stream",) if ".jsonl" in self.path.suffixes else ())}
        has_form = ".jsonl" in self.path.suffixes or self.path.suffix == ".parquet"
        return has_form and needed <= {*self.names} and bool({*FORMS} & {*self.names})


def read_rows(path: Path) -> SourceRows:
    """Read a CSV, JSON Lines or Parquet file, or list the images of a folder. Raises UserError for anything else."""
    if not path.exists():
        raise UserError(f"--from names {path}, which does not exist: check the path.")
    if path.is_dir():
        table = guarded(_images, path.absolute())
        if isinstance(table, Reason) or not table.reveal().num_rows:
            raise UserError(
                f"--from names the folder {path}, which has no images that can be listed: their names end in one of "
                f"{', '.join(SUFFIXES)}."
            )
        return SourceRows(path, table, (FILE, LABEL, CHANGED_AT))
    table = Raw(_with_attributes(business_file.read(path)))
    changed_at = datetime.fromtimestamp(int(path.stat().st_mtime), UTC)
    return SourceRows(path, table, tuple(table.reveal().column_names), changed_at)


def _with_attributes(table: pa.Table) -> pa.Table:
    """Return the table of events with a column for each attribute that has a name as columns have.

    Another name may be content, and there is no attribute of such a name.
    """
    if _ATTRIBUTES not in table.column_names or not pa.types.is_struct(table.schema.field(_ATTRIBUTES).type):
        return table
    columns = dict(zip(table.column_names, table.columns, strict=True))
    attributes = columns.pop(_ATTRIBUTES).combine_chunks()
    names = [each.name for each in attributes.type]
    return pa.table(columns | {name: attributes.field(name) for name in names if name not in columns and is_name(name)})


def _images(folder: Path) -> Raw[pa.Table]:
    found = sorted(_image_files(folder))
    in_folders = [path.parent.name if path.parent != folder else None for path in found]
    times = [datetime.fromtimestamp(int(path.stat().st_mtime), UTC).isoformat() for path in found]
    uris = [f"file://{quote(str(path))}" for path in found]
    columns = {FILE: uris, LABEL: in_folders, CHANGED_AT: times}
    return Raw(pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}))


def _image_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and path.is_file() and not hidden:
            yield path

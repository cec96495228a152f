"""A dataset resolved: its spec with the texts of its label and rules, which together decide every row."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

from rawless.config import FrozenModel
from rawless.datasets.query_files import Query, bind, find
from rawless.datasets.spec import DatasetSpec, Value, load_dataset
from rawless.warehouse.tables import FOLDER

TEMPLATES = FOLDER / "templates"


class Dataset(FrozenModel):
    """What a manifest holds of a snapshot, so that it can be built again."""

    spec: DatasetSpec
    label: Query
    rules: tuple[Query, ...]
    """One for each rule of the spec, in order."""

    @property
    def snapshot_id(self) -> str:
        """Of the snapshot that it makes: the same spec, queries and templates give the same."""
        return hashlib.sha256(f"{self.canonical}\n{sql_digest()}".encode()).hexdigest()[:24]

    @property
    def canonical(self) -> str:
        """As JSON, the same for the same dataset, however its file is written."""
        fields = self.model_dump(mode="json", exclude={"spec": {"folder", "require", "budget"}})
        return json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    def parameters(self) -> list[tuple[Query, dict[str, Value | None]]]:
        """Label and rules with a value for each of their parameters. Raises UserError."""
        given = [self.spec.label.parameters, *(rule.parameters for rule in self.spec.rules)]
        return [(query, bind(query, each)) for query, each in zip((self.label, *self.rules), given, strict=True)]


def open_dataset(path: Path, as_of: datetime | None = None) -> Dataset:
    """A dataset file with its label and rules, as of the time that it says, or of another. Raises UserError."""
    spec = load_dataset(path)
    if as_of is not None:
        spec = spec.model_copy(update={"as_of": as_of.astimezone(UTC)})
    own = (path.parent / spec.folder).resolve()
    return Dataset(
        spec=spec,
        label=find("labels", spec.label.query, own),
        rules=tuple(find("rules", rule.name, own) for rule in spec.rules),
    )


def sql_digest() -> str:
    """Of the templates that build a snapshot: when they change, so may the rows."""
    files = [*sorted(TEMPLATES.glob("*.sql")), *sorted((FOLDER / "embedding_event_v1").glob("*.sql"))]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()

"""A home: the warehouse with its datasets, and the heads on this machine. Everything begins with `open_home`."""

import os
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from rawless.api import sql
from rawless.api.head import Head
from rawless.api.installed import needs
from rawless.api.progress import progress
from rawless.api.shown import facts
from rawless.api.snapshot import Snapshot
from rawless.config import check, read_mapping
from rawless.connect import open_local_warehouse, open_warehouse
from rawless.datasets import snapshots
from rawless.datasets.spec import DatasetSpec
from rawless.errors import UserError
from rawless.heads import registry
from rawless.heads.publish import folder_of
from rawless.heads.spec import load_head_spec, spec_type
from rawless.local import home as homes
from rawless.warehouse.client import Warehouse

if TYPE_CHECKING:
    from google.cloud import bigquery

    from rawless.api.encoder import Encoder
    from rawless.heads.spec import HeadSpec

File = str | Path


class Home:
    """A warehouse with its datasets, and the heads that are stored on this machine."""

    def __init__(self, warehouse: Warehouse, folder: Path | None = None) -> None:
        """`folder` is the home folder, by default the one that commands use."""
        self.warehouse = warehouse
        self._folder = folder

    @property
    def folder(self) -> Path:
        """The home folder, in which heads are stored."""
        return self._folder or homes.folder()

    @property
    def bigquery(self) -> "bigquery.Client":
        """Google's client of the warehouse, for what this class does not do."""
        return self.warehouse.client

    def sql(self, query: str, /, **parameters: Any) -> pd.DataFrame:
        """Return the rows of a GoogleSQL query as a frame, whose types are those of the columns.

        `parameters` are values of `@name` in the query: texts, numbers, booleans, dates, times with a time zone, and
        lists or arrays of these. Tables of the events dataset need no dataset. Raises UserError for a query that is
        refused.
        """
        return sql.query(self.warehouse, query, parameters)

    def datasets(self) -> pd.DataFrame:
        """Return the snapshots, the one that was built or found last first."""
        rows = [
            {"dataset": each.dataset, "snapshot": each.snapshot_id, "as_of": each.as_of, "rows": each.rows,
             "created_at": each.created_at}
            for each in snapshots.list_manifests(self.warehouse)
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=["dataset", "snapshot", "as_of", "rows", "created_at"])

    def dataset(self, reference: str) -> Snapshot:
        """Return the snapshot with an id, or the one that a dataset's name means. Raises UserError for none."""
        return Snapshot(self.warehouse, snapshots.find(self.warehouse, _text(reference, "dataset")))

    def build(
        self,
        dataset: File | Mapping[str, Any],
        as_of: datetime | Literal["now"] | None = None,
        *,
        full: bool = False,
        folder: File = ".",
    ) -> Snapshot:
        """Build the snapshot of a dataset, or find the one that an earlier build created.

        `dataset` is a dataset file, or its fields as a dict, whose own labels and rules are in `folder`. `as_of`
        overrides that of the file; "now" is the latest that is allowed. What the build warns of is a Python warning.
        Raises UserError as `rawless dataset build` does.
        """
        from rawless.datasets import own_queries
        from rawless.datasets import plan as plans
        from rawless.datasets.build import build, settle_time
        from rawless.datasets.compile import compile_dataset
        from rawless.datasets.dataset import with_queries

        settle = settle_time(self.warehouse)
        spec, base = _dataset_spec(dataset, _time(as_of, settle), Path(folder))
        compiled = compile_dataset(self.warehouse, with_queries(spec, base))
        with progress(f"Building {spec.dataset}") as report:
            report("checking")
            own_queries.check(compiled)
            if spec.budget:
                plans.check_budget(spec, plans.plan(compiled, settle))
            built = build(compiled, settle, report, full=full)
        for sentence in built.warnings:
            warnings.warn(sentence, stacklevel=2)
        return Snapshot(self.warehouse, built.manifest, built.warnings)

    def heads(self) -> pd.DataFrame:
        """Return all versions of the heads, the newest first."""
        rows = [
            {"head": each.head, "version": each.version, "kind": each.kind, "snapshot": each.snapshot_id,
             "encoder_fingerprint": each.fingerprint, "created_at": each.created_at}
            for each in registry.heads(self.warehouse)
        ]  # fmt: skip
        columns = ["head", "version", "kind", "snapshot", "encoder_fingerprint", "created_at"]
        return pd.DataFrame(rows, columns=columns)

    def head(self, reference: str) -> Head:
        """Return the head NAME@VERSION, or the newest version of NAME. Raises UserError for none."""
        found = registry.find(self.warehouse, _text(reference, "head"))
        return Head(folder_of(found, self.folder / "heads"))

    def train(self, head: File | Mapping[str, Any]) -> Head:
        """Train a head, evaluate it once on the test split, and return it as the next version of its name.

        `head` is a head file, or its fields as a dict. What training warns of is a Python warning. Raises UserError as
        `rawless head train` does, and without torch.
        """
        from rawless.heads.publish import publish_trained

        with needs("train", "Training heads"):
            spec = _head_spec(head)
            from rawless.heads.train_spec import train_spec

        with progress(f"Training {spec.head}") as report:
            trained = train_spec(self.warehouse, spec, report)
            _, folder = publish_trained(self.warehouse, trained, self.folder / "heads")
        for sentence in trained.evaluation.warnings:
            warnings.warn(sentence, stacklevel=2)
        return Head(folder, trained.evaluation.warnings)

    def encoder(self, name: str) -> "Encoder":
        """Return an encoder of the catalogue or of the warehouse, such as a head's `encoder`.

        A name without a version means the newest one. Raises UserError for an unknown one.
        """
        from encoders import catalogue
        from rawless.api.encoder import Encoder, newest
        from rawless.warehouse.encoder_registry import registered, resolve

        known = {*catalogue.refs(), *(spec.ref for spec in registered(self.warehouse))}
        return Encoder(resolve(lambda: self.warehouse, newest(name, sorted(known))))

    def __repr__(self) -> str:
        config = self.warehouse.config
        if self.warehouse.emulator:
            return f"Home {self.folder} with the local warehouse"
        return f"Home with the warehouse {config.project}.{config.events}"

    def _repr_html_(self) -> str:
        config = self.warehouse.config
        roles = ("events", "snapshots")
        return facts(repr(self), {role: f"{config.project}.{getattr(config, role)}" for role in roles})


def open_home(where: File | None = None) -> Home:
    """Open the local stack, or what `where` names: a home folder, a folder that has one, or a warehouse file.

    Without it the home folder is found as commands find it: `.rawless` in the current folder or one above, or the one
    that RAWLESS_HOME names. Raises UserError.
    """
    if where is None:
        folder = homes.folder()
        return Home(open_local_warehouse(folder), folder)
    if not isinstance(where, str | os.PathLike):
        raise UserError(
            f"open was given a value of type {type(where).__name__}: give a home folder or a warehouse file, "
            "or nothing for the local stack."
        )
    path = Path(where).expanduser()
    if path.is_dir():
        folder = homes.prepare(_home_in(path), may_be_link=True)
        return Home(open_local_warehouse(folder), folder)
    if path.suffix in (".yaml", ".yml"):
        return Home(open_warehouse(path))
    raise UserError(
        f"{path} is neither a folder nor a warehouse file ending in .yaml: check the path, or call rw.open() without "
        "it for the local stack."
    )


def open_head(reference: File) -> Head:
    """Return a head of the local stack by name, or the one in a folder, which `rawless head export` writes.

    A folder is a `Path`, or a text with a slash. Raises UserError.
    """
    if isinstance(reference, Path) or (isinstance(reference, str) and os.sep in reference):
        return Head(Path(reference).expanduser())
    return open_home().head(reference)


def _home_in(path: Path) -> Path:
    """Return the home folder that a folder is or has. Raises UserError for neither."""
    absolute = path.absolute()
    if absolute.name == homes.NAME or (absolute / "local.json").is_file() or (absolute / "bigquery").exists():
        return absolute
    if (absolute / homes.NAME).is_dir():
        return absolute / homes.NAME
    raise UserError(
        f"The folder {path} is no home folder and has no folder {homes.NAME}: name another, or go there and call "
        "rw.open() without a folder, which makes one."
    )


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise UserError(f"The name of the {what} is of type {type(value).__name__}: give a text.")
    return value


def _time(as_of: Any, settle: timedelta) -> datetime | None:
    if as_of == "now":
        return datetime.now(UTC) - settle
    if as_of is None or (isinstance(as_of, datetime) and as_of.tzinfo is not None):
        given: datetime | None = as_of
        return given and given.astimezone(UTC)
    raise UserError("as_of is no time with a time zone: give one, as in datetime(2026, 11, 1, tzinfo=UTC), or 'now'.")


def _dataset_spec(dataset: Any, as_of: datetime | None, folder: Path) -> tuple[DatasetSpec, Path]:
    """Return the spec of a dataset and the folder that its own queries are relative to."""
    if isinstance(dataset, str | Path):
        path = Path(dataset).expanduser()
        fields, where, folder = read_mapping(path, what="dataset file"), f"The dataset file {path}", path.parent
    elif isinstance(dataset, Mapping):
        fields, where = dict(dataset), "The dataset"
    else:
        raise UserError(
            f"The dataset is of type {type(dataset).__name__}: give a dataset file, or its fields as a dict."
        )
    if as_of is not None:
        fields["as_of"] = as_of.isoformat()
    return check(fields, DatasetSpec, where=where), folder


def _head_spec(head: Any) -> "HeadSpec":
    if isinstance(head, str | Path):
        return load_head_spec(Path(head).expanduser())
    if isinstance(head, Mapping):
        return check(dict(head), spec_type(head.get("kind")), where="The head")
    raise UserError(f"The head is of type {type(head).__name__}: give a head file, or its fields as a dict.")

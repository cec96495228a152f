"""Building a snapshot: eligible events, labels, rules, splits, and at last the vectors; the manifest commits it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from google.cloud import bigquery

from rawless.datasets import frozen_sources, ledger, sources, splits, staging_tables
from rawless.datasets.compile import Build, Statement
from rawless.datasets.dataset import Dataset
from rawless.datasets.manifest import commit
from rawless.datasets.rendering import template
from rawless.datasets.snapshots import Manifest, batches, digest, find, list_manifests
from rawless.datasets.splits import NEAR_DUPLICATES, Step
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import table

Told = Callable[[str], None]
"""Hears what is being done."""


@dataclass(frozen=True)
class Built:
    """A snapshot, whether it was made just now, and what a data scientist should know of it."""

    manifest: Manifest
    is_new: bool
    warnings: tuple[str, ...] = ()


@dataclass
class Run:
    """A build as it goes on."""

    build: Build
    steps: list[Step]
    told: Told
    counted: dict[str, int] = field(default_factory=dict)
    """Rows of each source."""
    processed: int = 0
    """Bytes."""
    fingerprint: str = ""

    def run(self, statement: Statement) -> bigquery.QueryJob:
        """Runs a statement within what is left of the budget. Raises UserError."""
        self.told(statement.name)
        warehouse = self.build.warehouse
        try:
            job = warehouse.run(statement.sql, statement.parameters, self._left(), quotes=False)[1]
        except UserError as error:
            fault = self._fault(statement) or error
            raise UserError(f"The step {statement.name} of the build failed. {fault}") from None
        self.processed += job.total_bytes_processed or 0
        return job

    def _fault(self, statement: Statement) -> UserError | None:
        """What is wrong with SQL that failed, if it is at fault: the words of a dry run, which quote no row."""
        try:
            self.build.warehouse.scanned(statement.sql, statement.parameters)
        except UserError as error:
            return error
        return None

    def _left(self) -> int | None:
        """Bytes that may still be billed."""
        budget = self.build.dataset.spec.budget
        return None if budget is None else max(1, budget.max_bytes_billed - self.processed)


def build(warehouse: Warehouse, dataset: Dataset, settle: timedelta, told: Told) -> Built:
    """The snapshot of a dataset, made unless it is there.

    Raises UserError for a spec that the warehouse does not bear out, Unavailable when BigQuery is away; then nothing
    is left that a reader sees.
    """
    check_time(dataset, settle)
    snapshot_id = dataset.snapshot_id
    for manifest in list_manifests(warehouse, dataset.spec.dataset):
        if manifest.snapshot_id == snapshot_id:
            return Built(manifest, is_new=False)
    staging_tables.sweep(warehouse)
    ready = prepare(warehouse, dataset, snapshot_id)
    with staging_tables.tables(ready):
        try:
            run = mark(frozen_sources.make(ready, snapshot_id), told)
            materialise(run, snapshot_id)
            found = ledger.report(run.build, run.steps)
            ledger.check(dataset.spec, found)
            told("digest")
            row_digest, rows = digest(batches(warehouse, snapshot_id))
            if rows != found.rows:
                raise UserError("Rows were erased while the snapshot was built: run the command again.")
            commit(
                run.build, found, snapshot_id, run.fingerprint, row_digest, counted=run.counted, processed=run.processed
            )
        except BaseException:
            forget(warehouse, snapshot_id)
            frozen_sources.drop(ready, snapshot_id)
            raise
    return Built(find(warehouse, snapshot_id), is_new=True, warnings=found.warnings)


def check_time(dataset: Dataset, settle: timedelta) -> None:
    """Raises UserError for an as-of that the warehouse may not have settled at yet."""
    latest = datetime.now(UTC) - settle
    if dataset.spec.as_of > latest:
        raise UserError(
            f"as_of is {dataset.spec.as_of:%Y-%m-%dT%H:%M:%S%z}, but must not be later than {latest:%Y-%m-%dT%H:%M:%SZ}"
            f"{' (rows may still arrive for an hour)' if settle else ''}: what is not known yet would change."
        )


def prepare(warehouse: Warehouse, dataset: Dataset, snapshot_id: str) -> Build:
    """A build under that id, with its sources looked up. Raises UserError."""
    return Build(
        dataset, warehouse, sources.look(warehouse, dataset.spec.sources), f"{staging_tables.PREFIX}{snapshot_id}"
    )


def mark(build: Build, told: Told) -> Run:
    """Fills the build's tables: which examples there are, what removed each, and their splits. Raises UserError."""
    run = Run(build, splits.steps(build), told)
    labelled = build.labelled()  # judged before anything is read
    for name, columns in build.columns.items():
        run.counted[name] = sources.count(build.warehouse, columns, parameters({"as_of": build.as_of}))
    run.counted["embedding_event_v1"] = _fill(run, "event", build.eligible())
    run.fingerprint = _fingerprint(run)
    _fill(run, "example", labelled)
    ledger.check_labels(build)
    before, after = _around_split(run.steps)
    for statement in (*before, splits.assign(build), *after):
        run.run(statement)
    return run


def _around_split(steps: list[Step]) -> tuple[list[Statement], list[Statement]]:
    """The steps that mark rows, before and after splits are known."""
    marking = [step.statement for step in steps if step.statement]
    return [each for each in marking if each.name != "torn"], [each for each in marking if each.name == "torn"]


def _fill(run: Run, suffix: str, statement: Statement) -> int:
    return run.run(staging_tables.fill(run.build, suffix, statement)).num_dml_affected_rows or 0


def _fingerprint(run: Run) -> str:
    """The one of all events. Raises UserError when there is none, or several."""
    spec = run.build.dataset.spec
    rows = run.build.warehouse.query(run.build.template("fingerprints"))
    if not rows:
        raise UserError(
            f"No event of {spec.stream} that {spec.encoder} embedded was known at {spec.as_of:%Y-%m-%dT%H:%M:%S%z}: "
            "check stream, encoder and as_of."
        )
    if len(rows) > 1:
        raise UserError(
            f"The events of {spec.stream} carry {len(rows)} encoders that are all named {spec.encoder}, with different "
            "fingerprints: vectors of two encoders cannot be mixed. Ingest them under versions of their own."
        )
    return str(rows[0]["encoder_fingerprint"])


def materialise(run: Run, snapshot_id: str) -> None:
    """Puts the rows, with their vectors, into snapshot_v1 under that id. Readers do not see them yet."""
    build, warehouse = run.build, run.build.warehouse
    target = warehouse.table_id("snapshot_v1")
    (span,) = warehouse.query(build.template("span"))
    if not span["examples"]:
        return
    columns = [column.name for column in table("snapshot_v1").columns]
    statement = _snapshot(run, snapshot_id, span["first_at"], span["last_at"])
    job = run.run(staging_tables.insert(target, columns, statement))
    if job.num_dml_affected_rows != span["examples"]:
        raise UserError("Events were erased while the snapshot was built: run the command again.")
    _drop_near_duplicates(run, snapshot_id, _dimension(run, snapshot_id))


def _snapshot(run: Run, snapshot_id: str, first_at: datetime, last_at: datetime) -> Statement:
    stream = run.build.dataset.spec.stream
    values: dict[str, Any] = {"snapshot_id": snapshot_id, "stream": stream, "fingerprint": run.fingerprint}
    values |= {"as_of": run.build.as_of, "start_at": first_at, "end_at": last_at + timedelta(microseconds=1)}
    return run.build.snapshot(parameters(values))


def _dimension(run: Run, snapshot_id: str) -> int:
    """Of all vectors. Raises UserError when they differ."""
    statement = run.build.template("dimensions")
    (found,) = run.build.warehouse.query(statement, parameters({"snapshot_id": snapshot_id}))
    if found["least"] != found["most"]:
        raise UserError(
            f"The vectors of {run.build.dataset.spec.encoder} have dimensions from {found['least']} to {found['most']}"
            " under one fingerprint: the table was written to by something else."
        )
    return int(found["least"])


def _drop_near_duplicates(run: Run, snapshot_id: str, dimension: int) -> None:
    split = run.build.dataset.spec.split
    if not split.near_duplicates:
        return
    step = next(position for position, each in enumerate(run.steps) if each.name == NEAR_DUPLICATES)
    run.run(splits.near_duplicates(run.build, split.near_duplicates.cosine, step, snapshot_id, dimension))
    values = parameters({"snapshot_id": snapshot_id, "step": step})
    run.build.warehouse.query(run.build.template("drop_marked"), values)


def forget(warehouse: Warehouse, snapshot_id: str) -> None:
    """Removes the rows of a snapshot that has no manifest."""
    warehouse.query(template(warehouse, "forget"), parameters({"snapshot_id": snapshot_id}))

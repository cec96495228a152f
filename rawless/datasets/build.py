"""Build a snapshot: eligible events, labels, rules, splits, then the vectors. The manifest commits it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from google.cloud import bigquery

from rawless.datasets import frozen_sources, ledger, sources, splits, staging_tables
from rawless.datasets.compile import CompiledDataset, Statement
from rawless.datasets.manifest import commit, record_request
from rawless.datasets.rendering import render_template
from rawless.datasets.snapshots import Manifest, batches, digest, find, list_manifests
from rawless.datasets.spec import DatasetSpec
from rawless.datasets.splits import NEAR_DUPLICATES, Step
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import table

OnStep = Callable[[str], None]
"""Called with the name of each step before it runs."""


@dataclass(frozen=True)
class BuildResult:
    """A snapshot, whether this build created it, and warnings for the data scientist."""

    manifest: Manifest
    is_new: bool
    warnings: tuple[str, ...] = ()


@dataclass
class BuildRun:
    """The state of a running build."""

    compiled: CompiledDataset
    steps: list[Step]
    on_step: OnStep
    source_rows: dict[str, int] = field(default_factory=dict)
    """Rows of each source that were known at the as-of."""
    bytes_processed: int = 0
    fingerprint: str = ""

    def execute(self, statement: Statement) -> bigquery.QueryJob:
        """Run a statement within the remaining budget. Raises UserError naming the step."""
        self.on_step(statement.name)
        warehouse = self.compiled.warehouse
        try:
            _, job = warehouse.run(statement.sql, statement.parameters, self._remaining_bytes())
        except UserError as error:
            raise UserError(
                f"The step {statement.name} of the build failed, whose SQL `rawless dataset plan` prints. {error}"
            ) from None
        self.bytes_processed += job.total_bytes_processed or 0
        return job

    def _remaining_bytes(self) -> int | None:
        budget = self.compiled.spec.budget
        return None if budget is None else max(1, budget.max_bytes_billed - self.bytes_processed)


def build(compiled: CompiledDataset, settle: timedelta, on_step: OnStep) -> BuildResult:
    """Build the snapshot of a dataset, unless it exists, and return it, which then is the one that its name means.

    Raises UserError when the warehouse does not fit the dataset or too few rows remain, Unavailable when BigQuery does
    not answer. Then nothing remains that a reader sees.
    """
    check_as_of(compiled.spec, settle)
    warehouse, snapshot_id = compiled.warehouse, compiled.snapshot_id
    for manifest in list_manifests(warehouse, compiled.spec.dataset):
        if manifest.snapshot_id == snapshot_id:
            record_request(warehouse, snapshot_id)
            return BuildResult(manifest, is_new=False, warnings=tuple(_changed_sources(compiled, manifest)))
    staging_tables.sweep(warehouse)
    compiled.look_up_sources()  # before any table is created
    frozen_sources.check_columns(compiled)
    with staging_tables.working_tables(compiled):
        try:
            run = select_examples(frozen_sources.copy_sources(compiled), on_step)
            write_rows(run)
            report = ledger.make_report(run.compiled, run.steps)
            ledger.check_requirements(compiled.spec, report)
            on_step("digest")
            row_digest, rows = digest(batches(warehouse, snapshot_id))
            if rows != report.rows:
                raise UserError("Rows were erased while the snapshot was built; run the command again.")
            commit(
                run.compiled,
                report,
                fingerprint=run.fingerprint,
                row_digest=row_digest,
                source_rows=run.source_rows,
                bytes_processed=run.bytes_processed,
            )
        except BaseException:
            delete_rows(warehouse, snapshot_id)
            frozen_sources.drop_copies(compiled)
            raise
    return BuildResult(find(warehouse, snapshot_id), is_new=True, warnings=report.warnings)


def _changed_sources(compiled: CompiledDataset, manifest: Manifest) -> Iterator[str]:
    """Yield a sentence for each source that was replaced since the snapshot was built, as far as that can be seen."""
    rows = {source.table_name: source.row_count for source in manifest.sources}
    as_of = parameters({"as_of": compiled.spec.as_of})
    for name, source in compiled.sources.items():
        if source.source.mutable:
            continue
        rows_now = sources.count_rows(compiled.warehouse, source, as_of)
        if rows_now != rows.get(name, rows_now) or sources.is_newer(compiled.warehouse, source, manifest.created_at):
            yield (
                f"The source {source.source.table} was changed since this snapshot was built: it had {rows[name]:,} "
                f"rows that were known at the as-of, and has {rows_now:,}. A later --as-of builds from those of now."
            )


def check_as_of(spec: DatasetSpec, settle: timedelta) -> None:
    """Raise UserError for an as-of for which rows may still arrive; they take up to `settle`."""
    latest = datetime.now(UTC) - settle
    if spec.as_of > latest:
        raise UserError(
            f"as_of is {spec.as_of:%Y-%m-%dT%H:%M:%S%z}, but must not be later than {latest:%Y-%m-%dT%H:%M:%SZ}"
            f"{' (rows may still arrive for an hour)' if settle else ''}: rows that arrive later would change the "
            "snapshot."
        )


def select_examples(compiled: CompiledDataset, on_step: OnStep) -> BuildRun:
    """Fill the working tables: the examples, the step that removed each, and their splits. Raises UserError."""
    run = BuildRun(compiled, splits.steps(compiled), on_step)
    as_of = parameters({"as_of": compiled.spec.as_of})
    for name, source in compiled.sources.items():
        run.source_rows[name] = sources.count_rows(compiled.warehouse, source, as_of)
    run.source_rows["embedding_event_v1"] = _fill(run, "event", compiled.eligible())
    run.fingerprint = _fingerprint(run)
    _fill(run, "example", compiled.labelled())
    ledger.check_label_type(compiled)
    ledger.check_labels(compiled)
    marking = [step.statement for step in run.steps if step.statement]
    before_split = [statement for statement in marking if statement.name != "split_pairs"]
    after_split = [statement for statement in marking if statement.name == "split_pairs"]
    for statement in (*before_split, splits.assign(compiled), *after_split):
        run.execute(statement)
    return run


def _fill(run: BuildRun, role: staging_tables.Role, statement: Statement) -> int:
    return run.execute(staging_tables.fill(run.compiled, role, statement)).num_dml_affected_rows or 0


def _fingerprint(run: BuildRun) -> str:
    """Return the encoder fingerprint of all events. Raises UserError when there is none, or several."""
    spec = run.compiled.spec
    rows = run.compiled.warehouse.query(run.compiled.render("fingerprints"))
    if not rows:
        raise UserError(
            f"No event of {spec.stream} that {spec.encoder} embedded was known at {spec.as_of:%Y-%m-%dT%H:%M:%S%z}: "
            "check stream, encoder and as_of."
        )
    if len(rows) > 1:
        raise UserError(
            f"The events of {spec.stream} were encoded by {len(rows)} different encoders named {spec.encoder}: their "
            "fingerprints differ. Vectors of two encoders cannot be mixed; ingest them under different versions."
        )
    return str(rows[0]["encoder_fingerprint"])


def write_rows(run: BuildRun) -> None:
    """Write the remaining examples with their vectors to `snapshot_v1`. Readers do not see them yet."""
    compiled = run.compiled
    (span,) = compiled.warehouse.query(compiled.render("span"))
    if not span["examples"]:
        return
    columns = [column.name for column in table("snapshot_v1").columns]
    statement = _snapshot_statement(run, span["first_at"], span["last_at"])
    job = run.execute(staging_tables.insert(compiled.warehouse.table_id("snapshot_v1"), columns, statement))
    if job.num_dml_affected_rows != span["examples"]:
        raise UserError("Events were erased while the snapshot was built; run the command again.")
    _drop_near_duplicates(run, _dimension(run))


def _snapshot_statement(run: BuildRun, first_at: datetime, last_at: datetime) -> Statement:
    compiled = run.compiled
    values: dict[str, Any] = {"snapshot_id": compiled.snapshot_id, "stream": compiled.spec.stream}
    values |= {"fingerprint": run.fingerprint, "as_of": compiled.spec.as_of}
    values |= {"start_at": first_at, "end_at": last_at + timedelta(microseconds=1)}
    return compiled.snapshot(parameters(values))


def _dimension(run: BuildRun) -> int:
    """Return the dimension of all vectors. Raises UserError when they differ."""
    compiled = run.compiled
    snapshot = parameters({"snapshot_id": compiled.snapshot_id})
    (dimensions,) = compiled.warehouse.query(compiled.render("dimensions"), snapshot)
    if dimensions["least"] != dimensions["most"]:
        raise UserError(
            f"The vectors of {compiled.spec.encoder} have dimensions from {dimensions['least']} to "
            f"{dimensions['most']} under one fingerprint: some rows were not written by Rawless."
        )
    return int(dimensions["least"])


def _drop_near_duplicates(run: BuildRun, dimension: int) -> None:
    compiled = run.compiled
    near_duplicates = compiled.spec.split.near_duplicates
    if not near_duplicates:
        return
    step = next(position for position, step in enumerate(run.steps) if step.name == NEAR_DUPLICATES)
    run.execute(splits.near_duplicates(compiled, near_duplicates.cosine, step, dimension))
    values = parameters({"snapshot_id": compiled.snapshot_id, "step": step})
    compiled.warehouse.query(compiled.render("drop_marked"), values)


def delete_rows(warehouse: Warehouse, snapshot_id: str) -> None:
    """Delete the rows of a snapshot that has no manifest."""
    warehouse.query(render_template(warehouse, "delete_failed_rows"), parameters({"snapshot_id": snapshot_id}))

"""Build a snapshot: eligible events, labels, rules, splits, then the vectors. The manifest commits it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from google.cloud import bigquery

from rawless.datasets import (
    expectations,
    frozen_sources,
    incremental,
    ledger,
    marks,
    snapshot_tables,
    sources,
    splits,
    staging_tables,
)
from rawless.datasets.adapted_rows import AdaptedRows
from rawless.datasets.adapter import wrong_space
from rawless.datasets.compile import CompiledDataset, Span, Statement
from rawless.datasets.ledger import Marked
from rawless.datasets.manifest import commit, record_request
from rawless.datasets.marks import Step
from rawless.datasets.metered import metered
from rawless.datasets.snapshots import Manifest, find, list_manifests, summarise
from rawless.datasets.spec import DatasetSpec
from rawless.datasets.working_columns import Role
from rawless.errors import Unavailable, UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.encoder_registry import refuse_query_tower
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import table

_ERASED = "Events were erased while the snapshot was built; run the command again."
OnStep = Callable[[str], None]
"""Called with the name of each step before it runs."""


@dataclass(frozen=True)
class BuildResult:
    """A snapshot, whether this build created it, and warnings for the data scientist."""

    manifest: Manifest
    is_new: bool
    warnings: tuple[str, ...] = ()
    growth: str | None = None
    """What was read, if there was a snapshot of the same dataset as of an earlier time."""


@dataclass
class BuildRun:
    """The state of a running build."""

    compiled: CompiledDataset
    steps: list[Step]
    on_step: OnStep
    source_rows: dict[str, int] = field(default_factory=dict)
    """Rows of each source that were known at the as-of."""
    marked: Mapping[int | None, Marked] = field(default_factory=dict)
    """What the working tables say, by step, after the last mark."""
    fingerprint: str = ""
    growth: str | None = None

    def execute(self, statement: Statement) -> bigquery.QueryJob:
        """Run a statement. Raises UserError naming the step."""
        self.on_step(statement.name)
        try:
            return self.compiled.warehouse.run(statement.sql, statement.parameters)[1]
        except UserError as error:
            raise UserError(
                f"The step {statement.name} of the build failed, whose SQL `rawless dataset plan` prints. {error}"
            ) from None


def build(compiled: CompiledDataset, settle: timedelta, on_step: OnStep, *, full: bool = False) -> BuildResult:
    """Build the snapshot of a dataset, unless it exists, and return it, which then is the one that its name means.

    Rows of an earlier snapshot of the same dataset are copied if none of them has changed, unless `full` is set. Raises
    UserError when the warehouse does not fit the dataset or too few rows remain, Unavailable when BigQuery does not
    answer. Then nothing remains that a reader sees.
    """
    check_as_of(compiled.spec, settle)
    budget = compiled.spec.budget
    warehouse = metered(compiled.warehouse, budget.max_bytes_billed if budget else None)
    compiled = replace(compiled, warehouse=warehouse)
    spec, snapshot_id = compiled.spec, compiled.snapshot_id
    earlier = list_manifests(warehouse, spec.dataset)
    for manifest in earlier:
        if manifest.snapshot_id == snapshot_id:
            record_request(warehouse, spec.dataset, snapshot_id)
            return BuildResult(manifest, is_new=False, warnings=tuple(_changed_sources(compiled, manifest)))
    staging_tables.sweep(warehouse)
    compiled.look_up_sources()  # before any table is created
    frozen_sources.check_columns(compiled)
    expectations.statements(compiled)  # raises UserError for a column that a source lacks
    with staging_tables.working_tables(compiled):
        try:
            run = select_examples(frozen_sources.copy_sources(compiled), on_step)
            expectations.check_sources(compiled, lambda statement: run.execute(statement).result())
            is_written = write_rows(run, () if full else earlier)
            report = ledger.make_report(run.compiled, run.steps, run.marked, is_written=is_written)
            ledger.check_requirements(spec, report)
            expectations.check_counts(compiled, report.counts)
            snapshot_tables.keep(warehouse, snapshot_id)
            commit(
                run.compiled,
                report,
                fingerprint=run.fingerprint,
                row_digest=digest_rows(run, report.rows),
                source_rows=run.source_rows,
                bytes_processed=warehouse.meter.bytes,
                adapted=count_adapted(run.compiled),
            )
        except BaseException:
            with suppress(Unavailable):  # the next build sweeps it
                snapshot_tables.drop(warehouse, snapshot_id)
            frozen_sources.drop_copies(compiled)
            raise
    snapshot_tables.point(warehouse, spec.dataset, snapshot_id)
    return BuildResult(find(warehouse, snapshot_id), is_new=True, warnings=report.warnings, growth=run.growth)


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


def settle_time(warehouse: Warehouse) -> timedelta:
    """Return how long rows may take to arrive: an hour on Google Cloud, no time on the local stack."""
    return timedelta(0) if warehouse.emulator else timedelta(hours=1)


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
    """Fill the working tables: the examples, and the step that removed each. Raises UserError."""
    run = BuildRun(compiled, splits.steps(compiled), on_step)
    as_of = parameters({"as_of": compiled.spec.as_of})
    for name, source in compiled.sources.items():
        run.source_rows[name] = sources.count_rows(compiled.warehouse, source, as_of)
    if compiled.stores_events:
        run.source_rows["embedding_event_v1"] = _fill(run, "event", compiled.eligible())
    ledger.check_label_type(compiled)
    _fill(run, "example", compiled.labelled())
    for statement in marks.statements(compiled, run.steps):
        _fill(run, "mark", statement)
    run.marked = ledger.count_marks(compiled)
    run.source_rows.setdefault("embedding_event_v1", sum(each.events for each in run.marked.values()))
    ledger.check_labels(compiled, run.marked)
    return run


def _fill(run: BuildRun, role: Role, statement: Statement) -> int:
    return run.execute(staging_tables.fill(run.compiled, role, statement)).num_dml_affected_rows or 0


def find_fingerprint(run: BuildRun) -> str:
    """Return the encoder fingerprint of all examples' events. Raises UserError when there are no events, or several."""
    compiled, spec = run.compiled, run.compiled.spec
    refuse_query_tower(compiled.warehouse, spec.encoder)
    hashes = {each.least_hash for each in run.marked.values()} | {each.most_hash for each in run.marked.values()}
    hashes.discard(None)
    if compiled.adapter and hashes:
        if hashes != {0}:
            raise wrong_space(spec, compiled.adapter.target)
        return compiled.adapter.target
    if not hashes and run.source_rows["embedding_event_v1"]:
        return ""  # no label is of one of them, so no rows remain
    if not hashes:
        raise UserError(
            f"No event of {spec.stream} that {spec.encoder} embedded was known at {spec.as_of:%Y-%m-%dT%H:%M:%S%z}: "
            "check stream, encoder and as_of."
        )
    if len(hashes) > 1:
        count = max(len(hashes), *(each.hashes for each in run.marked.values()))
        raise UserError(
            f"The events of {spec.stream} were encoded by {count} different encoders named {spec.encoder}: their "
            "fingerprints differ. Vectors of two encoders cannot be mixed; ingest them under different versions."
        )
    at = min(each.first_at for each in run.marked.values() if each.hashes and each.first_at)
    values = compiled.encoder_values | {"at": at, "encoder_hash": hashes.pop()}
    rows = compiled.warehouse.query(compiled.render("fingerprint"), parameters(values))
    if not rows:
        raise UserError(_ERASED)
    return str(rows[0]["encoder_fingerprint"])


def write_rows(run: BuildRun, earlier: Sequence[Manifest] = ()) -> bool:
    """Write the remaining examples with their vectors to the snapshot's table; return whether there are any.

    Those of one of the `earlier` snapshots are copied from there if they are unchanged. Readers do not see rows yet.
    """
    compiled, warehouse = run.compiled, run.compiled.warehouse
    run.fingerprint = find_fingerprint(run)
    remaining = run.marked.get(None)
    if remaining is None or remaining.first_at is None or remaining.last_at is None:
        return False
    span = Span(remaining.examples, remaining.first_at, remaining.last_at, remaining.is_tied)
    if _extend(run, earlier, span):
        return True
    snapshot_tables.create(warehouse, compiled.snapshot_id)
    rows = run.execute(_insert(compiled, compiled.snapshot(span, run.fingerprint))).num_dml_affected_rows
    if compiled.spec.split.near_duplicates:  # then fewer rows are written
        found = compiled.found(span)
        rows = warehouse.query(found.sql, found.parameters)[0]["examples"]
    if rows != remaining.examples:
        raise UserError(_ERASED)
    return True


def _extend(run: BuildRun, earlier: Sequence[Manifest], span: Span) -> bool:
    """Write the rows by adding new ones to those of an earlier snapshot; return False if that is not possible."""
    compiled = run.compiled
    parent = incremental.find_parent(compiled, earlier, run.fingerprint)
    if parent is None:
        return False
    growth = incremental.compare(compiled, parent)
    run.growth = incremental.describe(parent, growth)
    if growth.gone or growth.unchanged != parent.rows:
        return False
    incremental.copy(compiled, parent)
    new = incremental.added(compiled, parent, growth, is_tied=span.is_tied, fingerprint=run.fingerprint)
    if new and run.execute(_insert(compiled, new)).num_dml_affected_rows != growth.added:
        raise UserError(_ERASED)
    return True


def _insert(compiled: CompiledDataset, rows: Statement) -> Statement:
    columns = [column.name for column in table("snapshot_v1").columns]
    return staging_tables.insert(compiled.snapshot_table, columns, rows)


def count_adapted(compiled: CompiledDataset) -> AdaptedRows | None:
    """Return how many of the written rows are adapted; None for a dataset that takes none."""
    if not compiled.adapter:
        return None
    values = parameters({"adapted_fingerprint": compiled.adapter.fingerprint})
    rows = compiled.warehouse.query(compiled.render("adapted_rows"), values)
    return AdaptedRows(fingerprint=compiled.adapter.fingerprint, rows={row["split"]: row["adapted"] for row in rows})


def digest_rows(run: BuildRun, rows: int) -> str:
    """Return the digest of the written rows. Raises UserError unless there are that many, with one dimension."""
    run.on_step("digest")
    summary = summarise(run.compiled.warehouse, run.compiled.snapshot_id)
    if summary.rows != rows:
        raise UserError(_ERASED)
    if summary.least_dimension != summary.most_dimension or not summary.least_dimension:
        raise UserError(
            f"The vectors of {run.compiled.spec.encoder} have dimensions from {summary.least_dimension} to "
            f"{summary.most_dimension} under one fingerprint: some rows were not written by Rawless."
        )
    return summary.row_digest

"""The warehouse client: create and check tables, run queries, locally or on Google Cloud."""

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import BadRequest, Conflict, Forbidden, GoogleAPICallError, GoogleAPIError, NotFound
from google.api_core.retry import Retry
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

from rawless.bearer import TokenCredentials, open_session
from rawless.errors import Unavailable, UserError
from rawless.loopback import emulator_address
from rawless.warehouse.config import Emulator, WarehouseConfig
from rawless.warehouse.parameters import Parameters
from rawless.warehouse.tables import FOLDER, ROLES, Table, functions, names, table
from rawless.warehouse.templates import environment

if TYPE_CHECKING:
    import pyarrow as pa
    from google.cloud.bigquery.table import RowIterator

EMULATOR_VARIABLE = "BIGQUERY_EMULATOR_HOST"
PAGE_ROWS = 100_000
"""More rows than BigQuery sends at once; it also limits the bytes."""
_WRITE_BUFFER = "streaming buffer"
"""What BigQuery's message says when a statement would change rows that were written a short time ago."""


@dataclass(frozen=True)
class Warehouse:
    """A warehouse by its configuration. It can be pickled into a job, and connects when it is first used."""

    config: WarehouseConfig
    emulator: Emulator | None = None
    retry_seconds: float = field(default=60.0)
    """How long a transient error is retried before it is raised."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("config", "emulator", "retry_seconds")}

    @cached_property
    def client(self) -> bigquery.Client:
        """Return Google's client. Raises UserError without credentials.

        The library sends requests, with their credentials, to the host that BIGQUERY_EMULATOR_HOST names. So it must be
        on this machine, and gets none.
        """
        if self.emulator is None:
            credentials = TokenCredentials("") if emulator_address(EMULATOR_VARIABLE) else None
            try:
                return bigquery.Client(
                    project=self.config.project,
                    location=self.config.location,
                    credentials=credentials,
                    _http=open_session(credentials) if credentials else None,
                )
            except GoogleAuthError:
                raise UserError(
                    "There are no Google credentials; run `gcloud auth application-default login`."
                ) from None
        credentials = TokenCredentials(self.emulator.token)
        return bigquery.Client(
            project=self.config.project,
            credentials=credentials,
            _http=open_session(credentials),
            client_options=ClientOptions(api_endpoint=self.emulator.rest),
        )

    @property
    def retry(self) -> Retry:
        """Return the client library's retry policy, for `retry_seconds` instead of its own ten minutes."""
        return bigquery.DEFAULT_RETRY.with_timeout(self.retry_seconds)

    def dataset_id(self, role: str) -> str:
        """Return project and dataset of a role, as in `project.events`."""
        return f"{self.config.project}.{getattr(self.config, role)}"

    def table_id(self, name: str) -> str:
        """Return project, dataset and table of a Rawless table."""
        return f"{self.dataset_id(table(name).dataset)}.{name}"

    def business_table_id(self, name: str) -> str:
        """Return project, dataset and table of a business table: TABLE of the events dataset, or DATASET.TABLE."""
        dataset, _, table_name = name.rpartition(".")
        return f"{self.config.project}.{dataset or self.config.events}.{table_name}"

    def query(self, statement: str, parameters: Parameters = ()) -> list[dict[str, Any]]:
        """Run one statement and return its rows. Unqualified tables are those of the events dataset.

        Values are passed as parameters only. Raises UserError when BigQuery refuses the statement, Unavailable when
        it does not answer.
        """
        return self.run(statement, parameters)[0]

    def run(
        self,
        statement: str,
        parameters: Parameters = (),
        max_bytes: int | None = None,
    ) -> tuple[list[dict[str, Any]], bigquery.QueryJob]:
        """Run one statement as `query` does, and return its rows and its job.

        BigQuery refuses a statement that would bill more than `max_bytes`. Its message about a statement that fails
        while it runs may quote a value of a row: the error contains that of a dry run, which reads no row, or none.
        """
        with translated_errors(self._explain(statement, parameters)):
            rows, job = self._start(statement, parameters, max_bytes)
            return [dict(row) for row in rows], job  # items() would copy each value

    def run_as_arrow(self, statement: str, parameters: Parameters = ()) -> "pa.Table":
        """Run one statement as `query` does, and return its rows as an Arrow table with the types of its columns.

        Raises UserError also for a value that its type in Arrow cannot have. It does not quote it.
        """
        with translated_errors(self._explain(statement, parameters)):
            rows, _ = self._start(statement, parameters, None)
            try:
                return rows.to_arrow(create_bqstorage_client=self.emulator is None)
            except (TypeError, ValueError) as error:
                kind = type(error).__name__
        raise UserError(
            f"The rows of the query cannot be read as the types of its columns ({kind}): check for arrays that contain "
            "NULL, which BigQuery does not return, and for numbers that are too large."
        )

    def _start(
        self, statement: str, parameters: Parameters, max_bytes: int | None
    ) -> "tuple[RowIterator, bigquery.QueryJob]":
        config = self._config(parameters)
        config.maximum_bytes_billed = max_bytes
        # Not query_and_wait: there the local BigQuery returns an empty result when a statement fails.
        job = self.client.query(statement, job_config=config, retry=self.retry, job_retry=None)
        # With a size the first page is part of the answer that the job is done, instead of a request of its own.
        return job.result(page_size=PAGE_ROWS, retry=self.retry, job_retry=None), job

    def run_in_turn(self, key: str, statement: str, parameters: Parameters) -> bigquery.QueryJob | None:
        """Run one statement after every other that any process runs with the same key, and return its job.

        Two statements that insert a row unless it exists may both insert it: on BigQuery, statements that only insert
        rows do not wait for each other. But an id belongs to one job, so the jobs of a key are numbered, and each is
        sent when the one before has ended, well or not.

        Returns None if that is a job of another account, which this account may not see: whether it has ended is
        unknown. Raises as `run` does.
        """
        self.dry_run(statement, parameters)  # a job that may not write would take a number, too
        config = self._config(parameters)
        config.labels = {"rawless": secrets.token_hex(8)}
        digest = hashlib.sha256(key.encode()).hexdigest()[:32]
        with translated_errors(self._explain(statement, parameters)):
            for number in count(1):
                job = self._job(f"rawless-{digest}-{number}", statement, config)
                if job is None or job.labels == config.labels:
                    break
                job.exception()  # waits until it has ended
            if job is not None:
                job.result(retry=self.retry, job_retry=None)
        return job

    def _job(self, job_id: str, statement: str, config: bigquery.QueryJobConfig) -> bigquery.QueryJob | None:
        """Send a job with an id, or return the one that has this id; None if this account may not see that one."""
        try:
            return self.client.query(statement, job_config=config, job_id=job_id, retry=self.retry, job_retry=None)
        except Conflict:  # also after a request of ours whose answer was lost
            with suppress(Forbidden, NotFound):
                return self.client.get_job(job_id, retry=self.retry)
        return None

    def _explain(self, statement: str, parameters: Parameters) -> Callable[[GoogleAPICallError], UserError]:
        """Return a function that returns the error to raise when a statement fails while it runs."""

        def explain(error: GoogleAPICallError) -> UserError:
            if _WRITE_BUFFER in str(error.message):
                raise Unavailable(
                    "Some rows were written in the last 30 minutes and are still in BigQuery's write buffer, where it "
                    "changes none; run the command again in half an hour."
                ) from None
            self.dry_run(statement, parameters)  # raises a UserError of its own if the fault is in the SQL
            return UserError(
                f"BigQuery refused the query while it read rows ({type(error).__name__}). Its message is not printed "
                "because it may quote a row: check which values cannot be converted, parsed or divided by."
            )

        return explain

    def list_rows(self, name: str) -> list[dict[str, Any]]:
        """Return all rows of a small table, in any order, without a query: the right to read the table is enough.

        Raises UserError when BigQuery refuses it, Unavailable when it does not answer.
        """
        fields = [column.to_bigquery() for column in table(name).columns]

        def explain(error: GoogleAPICallError) -> UserError:
            return UserError(f"BigQuery refused to list the rows of {self.table_id(name)}: {_first_line(error)}")

        with translated_errors(explain):
            rows = self.client.list_rows(
                self.table_id(name), selected_fields=fields, page_size=PAGE_ROWS, retry=self.retry
            )
            return [dict(row) for row in rows]

    def dry_run(self, statement: str, parameters: Parameters = ()) -> int:
        """Return the bytes that a statement would read, which is 0 on the local BigQuery. Raises as `query` does."""
        return int(self._dry_run(statement, parameters).total_bytes_processed or 0)

    def types(self, statement: str, parameters: Parameters = ()) -> dict[str, str]:
        """Return the types of the columns that a statement would return, without running it. Raises as `query` does."""
        return {field.name: field.field_type for field in self._dry_run(statement, parameters).schema or ()}

    def _dry_run(self, statement: str, parameters: Parameters) -> bigquery.QueryJob:
        config = self._config(parameters)
        config.dry_run, config.use_query_cache = True, False
        with translated_errors(_with_message):
            return self.client.query(statement, job_config=config, retry=self.retry)

    def _config(self, parameters: Parameters) -> bigquery.QueryJobConfig:
        return bigquery.QueryJobConfig(default_dataset=self.dataset_id("events"), query_parameters=list(parameters))

    def ensure(self) -> None:
        """Create the datasets, tables and functions that are missing, and compare the existing ones with the schemas.

        What this account may not see is skipped: a data scientist sees snapshots only, and needs no more. Raises
        UserError naming table and column when a table differs, Unavailable when BigQuery does not answer.
        """
        try:
            for role in ROLES:
                dataset = bigquery.Dataset(self.dataset_id(role))
                dataset.location = self.config.location
                with suppress(Forbidden):  # then another account created it
                    self.client.create_dataset(dataset, exists_ok=True, retry=self.retry)
            for name in names():
                self._ensure_table(name)
            for name, template in functions().items():
                self._ensure_function(name, template)
        except (Forbidden, BadRequest) as error:
            raise UserError(f"BigQuery refused to create or show a table: {_first_line(error)}") from None
        except (GoogleAPIError, ConnectionError, GoogleAuthError) as error:
            raise unavailable(error) from None

    def check(self, names: Iterable[str]) -> None:
        """Compare tables with their schemas without creating any, for an account that may only use them.

        Raises UserError naming the table that is missing or differs, Unavailable when BigQuery does not answer.
        """
        try:
            for name in names:
                self.compare(name, self.client.get_table(self.table_id(name), retry=self.retry))
        except (NotFound, Forbidden, BadRequest) as error:
            raise UserError(f"BigQuery refused to show a table that is needed: {_first_line(error)}") from None
        except (GoogleAPIError, ConnectionError, GoogleAuthError) as error:
            raise unavailable(error) from None

    def _ensure_table(self, name: str) -> None:
        try:
            live = self.client.get_table(self.table_id(name), retry=self.retry)
        except Forbidden:
            return
        except NotFound:
            table_to_create = table(name).to_bigquery(self.table_id(name))
            live = self.client.create_table(table_to_create, exists_ok=True, retry=self.retry)
        self.compare(name, live)

    def compare(self, name: str, live: bigquery.Table) -> None:
        """Raise UserError naming table and column when a live table differs from its schema."""
        if difference := _difference(table(name), live):
            raise UserError(
                f"The table {self.table_id(name)} differs from sql/{name}/schema.yaml: {difference}. Migrate the "
                "table, or name other datasets in the warehouse file."
            )

    def _ensure_function(self, name: str, template: Path) -> None:
        statement = self.render(template)
        try:
            live = self.client.get_routine(f"{self.dataset_id('events')}.{name}", retry=self.retry)
        except Forbidden:
            return
        except NotFound:
            live = None
        if live is None or _without_white_space(str(live.body)) not in _without_white_space(statement):
            self.client.query(statement, retry=self.retry).result(retry=self.retry)

    def render(self, template: Path, **names: object) -> str:
        """Return a template of the folder `sql` with the names of the datasets, and `names`, filled in."""
        datasets = {role: self.dataset_id(role) for role in ROLES}
        return environment().get_template(template.relative_to(FOLDER).as_posix()).render(datasets, **names)


@contextmanager
def translated_errors(explain: Callable[[GoogleAPICallError], UserError]) -> Iterator[None]:
    """Raise a refusal by BigQuery as the UserError that `explain` returns or raises, other errors as Unavailable."""
    try:
        yield
    except (BadRequest, NotFound, Forbidden) as error:
        raise explain(error) from None
    except (GoogleAPIError, ConnectionError, GoogleAuthError) as error:
        raise unavailable(error) from None


def _with_message(error: GoogleAPICallError) -> UserError:
    return UserError(f"BigQuery refused the query: {_first_line(error)}")


def unavailable(error: Exception) -> Unavailable:
    """Return the error to raise when BigQuery does not answer. It contains the type of the cause only."""
    return Unavailable(f"BigQuery did not answer ({type(error).__name__}); run the command again.")


def _without_white_space(statement: str) -> str:
    return "".join(statement.split())


def _difference(declared: Table, live: bigquery.Table) -> str | None:
    """Describe the first difference between a live table and its schema, None if there is none."""
    if difference := _column_difference([column.to_bigquery() for column in declared.columns], list(live.schema)):
        return difference
    field = declared.partition.field if declared.partition else None
    live_field = live.time_partitioning.field if live.time_partitioning else None
    if field != live_field:
        return f"it is partitioned by {live_field}, but must be by {field}"
    if list(declared.cluster) != list(live.clustering_fields or []):
        return f"it is clustered by {live.clustering_fields}, but must be by {list(declared.cluster)}"
    return None


def _column_difference(declared: list[bigquery.SchemaField], live: list[bigquery.SchemaField]) -> str | None:
    unmatched = {column.name: column for column in live}
    for column in declared:
        if column.name not in unmatched:
            return f"the column {column.name} is missing"
        other = unmatched.pop(column.name)
        if _kind(column) != _kind(other):
            return f"the column {column.name} is {_kind(other)}, but must be {_kind(column)}"
        if nested := _column_difference(list(column.fields), list(other.fields)):
            return f"in {column.name}, {nested}"
    return f"the column {next(iter(unmatched))} is not in the schema" if unmatched else None


def _kind(column: bigquery.SchemaField) -> str:
    legacy = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "STRUCT": "RECORD"}
    return f"{legacy.get(column.field_type, column.field_type)} {column.mode or 'NULLABLE'}"


def _first_line(error: GoogleAPICallError) -> str:
    """Return the first line of BigQuery's message, which ends sentences of ours."""
    messages = [each.get("message") for each in error.errors if isinstance(each, dict)]  # without the request's URL
    line = str(next(filter(None, messages), None) or error.message or type(error).__name__).splitlines()[0]
    return line if line.endswith((".", "?", "!")) else f"{line}."

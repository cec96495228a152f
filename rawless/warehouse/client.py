"""The warehouse client: where the tables are, making and checking them, queries. One code, local or real."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import BadRequest, Forbidden, GoogleAPICallError, GoogleAPIError, NotFound
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

from rawless.errors import Unavailable, UserError
from rawless.warehouse.config import Emulator, WarehouseConfig
from rawless.warehouse.parameters import Parameters
from rawless.warehouse.tables import FOLDER, ROLES, Table, functions, names, table
from rawless.warehouse.templates import environment


@dataclass(frozen=True)
class Warehouse:
    """A handle on the warehouse. Holds names alone, so that it travels in a job; connects when first used."""

    config: WarehouseConfig
    emulator: Emulator | None = None
    retry_seconds: float = field(default=60.0)
    """For how long a transient fault is retried before it is raised."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("config", "emulator", "retry_seconds")}

    @cached_property
    def client(self) -> bigquery.Client:
        """The official client."""
        if self.emulator is None:
            try:
                return bigquery.Client(project=self.config.project, location=self.config.location)
            except GoogleAuthError:
                raise UserError(
                    "There are no Google credentials here: run `gcloud auth application-default login`."
                ) from None
        return bigquery.Client(
            project=self.config.project,
            credentials=AnonymousCredentials(),
            client_options=ClientOptions(api_endpoint=self.emulator.rest),
        )

    @property
    def retry(self) -> Retry:
        """How the client library retries a transient fault: for `retry_seconds`, not for its own ten minutes."""
        return bigquery.DEFAULT_RETRY.with_timeout(self.retry_seconds)

    def dataset_id(self, role: str) -> str:
        """Project and dataset of a role, as in `project.events`."""
        return f"{self.config.project}.{getattr(self.config, role)}"

    def table_id(self, name: str) -> str:
        """Project, dataset and table."""
        return f"{self.dataset_id(table(name).dataset)}.{name}"

    def business_table_id(self, name: str) -> str:
        """Project, dataset and table of a business table: TABLE of the events dataset, or DATASET.TABLE."""
        dataset, _, own = name.rpartition(".")
        return f"{self.config.project}.{dataset or self.config.events}.{own}"

    def query(self, statement: str, parameters: Parameters = ()) -> list[dict[str, Any]]:
        """Run one statement; unqualified tables are those of the events dataset. Values go in as parameters only.

        Raises UserError with BigQuery's own words when it refuses the statement, Unavailable when it is away.
        """
        return self.run(statement, parameters)[0]

    def run(
        self, statement: str, parameters: Parameters = (), max_bytes: int | None = None, *, quotes: bool = True
    ) -> tuple[list[dict[str, Any]], bigquery.QueryJob]:
        """As `query`, with the job; BigQuery refuses what would bill more than `max_bytes`.

        Its words on a statement that fails as it runs may quote a value of a row: `quotes` says whether to tell them.
        """
        config = self._config(parameters)
        config.maximum_bytes_billed = max_bytes
        with _queried(quotes):
            # Not query_and_wait: the local BigQuery answers an empty result there where a statement fails.
            job = self.client.query(statement, job_config=config, retry=self.retry, job_retry=None)
            return [dict(row.items()) for row in job.result(retry=self.retry, job_retry=None)], job

    def scanned(self, statement: str, parameters: Parameters = ()) -> int:
        """Bytes that a statement would read, not run: none on the local BigQuery. Raises as `query` does."""
        config = self._config(parameters)
        config.dry_run, config.use_query_cache = True, False
        with _queried(quotes=True):
            return int(self.client.query(statement, job_config=config, retry=self.retry).total_bytes_processed or 0)

    def _config(self, parameters: Parameters) -> bigquery.QueryJobConfig:
        return bigquery.QueryJobConfig(default_dataset=self.dataset_id("events"), query_parameters=list(parameters))

    def ensure(self) -> None:
        """Make the datasets, tables and functions that are missing, and hold the live ones against the schema.

        What this account may not see is left as it is: a scientist sees snapshots alone, and needs no more. Raises
        UserError naming table and column when a live table differs, Unavailable when BigQuery is away.
        """
        try:
            for role in ROLES:
                dataset = bigquery.Dataset(self.dataset_id(role))
                dataset.location = self.config.location
                with suppress(Forbidden):  # then it was made by who may
                    self.client.create_dataset(dataset, exists_ok=True, retry=self.retry)
            for name in names():
                self._ensure_table(name)
            for name, template in functions().items():
                self._ensure_function(name, template)
        except (Forbidden, BadRequest) as error:
            raise UserError(f"BigQuery refused to make or show a table: {_first_line(error)}") from None
        except (GoogleAPIError, ConnectionError, GoogleAuthError) as error:
            raise unanswered(error) from None

    def check(self, names: Iterable[str]) -> None:
        """Hold live tables against their schemas and make nothing, for an account that may only use them.

        Raises UserError naming the table that is missing or differs, Unavailable when BigQuery is away.
        """
        try:
            for name in names:
                self.compare(name, self.client.get_table(self.table_id(name), retry=self.retry))
        except (NotFound, Forbidden, BadRequest) as error:
            raise UserError(f"BigQuery refused to show a table that the job needs: {_first_line(error)}") from None
        except (GoogleAPIError, ConnectionError, GoogleAuthError) as error:
            raise unanswered(error) from None

    def _ensure_table(self, name: str) -> None:
        try:
            live = self.client.get_table(self.table_id(name), retry=self.retry)
        except Forbidden:
            return
        except NotFound:
            wanted = table(name).to_bigquery(self.table_id(name))
            live = self.client.create_table(wanted, exists_ok=True, retry=self.retry)
        self.compare(name, live)

    def compare(self, name: str, live: bigquery.Table) -> None:
        """Raise UserError naming table and column when a live table differs from its schema."""
        if fault := _difference(table(name), live):
            raise UserError(
                f"The table {self.table_id(name)} differs from sql/{name}/schema.yaml: {fault}. Migrate the table, or "
                "name other datasets in the warehouse file."
            )

    def _ensure_function(self, name: str, template: Path) -> None:
        statement = self.render(template)
        try:
            live = self.client.get_routine(f"{self.dataset_id('events')}.{name}", retry=self.retry)
        except Forbidden:
            return
        except NotFound:
            live = None
        if live is None or _squeezed(str(live.body)) not in _squeezed(statement):
            self.client.query(statement, retry=self.retry).result(retry=self.retry)

    def render(self, template: Path, **names: object) -> str:
        """A template of this folder, with the names of the datasets and `names` in it; Jinja puts in nothing else."""
        datasets = {role: self.dataset_id(role) for role in ROLES}
        named = environment().get_template(template.relative_to(FOLDER).as_posix())
        return named.render(datasets, **names)


@contextmanager
def _queried(quotes: bool) -> Iterator[None]:
    try:
        yield
    except (BadRequest, NotFound, Forbidden) as error:
        unsaid = "its words may quote a row, so they are not told; `rawless dataset plan` prints the statement."
        words = _first_line(error) if quotes else f"{type(error).__name__}, {unsaid}"
        raise UserError(f"BigQuery refused the query: {words}") from None
    except (GoogleAPIError, ConnectionError, GoogleAuthError) as error:
        raise unanswered(error) from None


def unanswered(error: Exception) -> Unavailable:
    """What to tell when BigQuery is away; of the error its type alone."""
    return Unavailable(f"BigQuery did not answer ({type(error).__name__}); run the command again.")


def _squeezed(statement: str) -> str:
    return "".join(statement.split())


def _difference(wanted: Table, live: bigquery.Table) -> str | None:
    """How a live table differs from its schema, in words."""
    if fault := _column_difference([column.to_bigquery() for column in wanted.columns], list(live.schema)):
        return fault
    field = wanted.partition.field if wanted.partition else None
    live_field = live.time_partitioning.field if live.time_partitioning else None
    if field != live_field:
        return f"it is partitioned by {live_field}, but must be by {field}"
    if list(wanted.cluster) != list(live.clustering_fields or []):
        return f"it is clustered by {live.clustering_fields}, but must be by {list(wanted.cluster)}"
    return None


def _column_difference(wanted: list[bigquery.SchemaField], live: list[bigquery.SchemaField]) -> str | None:
    found = {column.name: column for column in live}
    for column in wanted:
        if column.name not in found:
            return f"the column {column.name} is missing"
        other = found.pop(column.name)
        if _kind(column) != _kind(other):
            return f"the column {column.name} is {_kind(other)}, but must be {_kind(column)}"
        if nested := _column_difference(list(column.fields), list(other.fields)):
            return f"in {column.name}, {nested}"
    return f"the column {next(iter(found))} is not in the schema" if found else None


def _kind(column: bigquery.SchemaField) -> str:
    legacy = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "STRUCT": "RECORD"}
    return f"{legacy.get(column.field_type, column.field_type)} {column.mode or 'NULLABLE'}"


def _first_line(error: GoogleAPICallError) -> str:
    return str(error.message or type(error).__name__).splitlines()[0]

"""Search a warehouse: the rows of every live table, what is told about tables, and the history of queries."""

import json
from datetime import datetime
from itertools import chain
from typing import Any

from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

from rawless.audit.canary.findings import Findings
from rawless.audit.formats.columns import batch_parts, schema_parts
from rawless.audit.formats.source import Budget
from rawless.audit.sinks import Sink, find_table
from rawless.errors import RawlessError, Unavailable, UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.read import read
from rawless.warehouse.tables import ROLES

_NO_ANSWER = (GoogleAPIError, ConnectionError, GoogleAuthError)
_WITHOUT_ROWS = ("VIEW", "MATERIALIZED_VIEW")


def search_warehouse(findings: Findings, warehouse: Warehouse, since: datetime, events_since: datetime) -> None:
    """Search every table of every dataset of the project that this account sees, and the history of queries.

    `since` is the time of the first event's publication, and `events_since` the earliest time that an event claims: of
    a table with a required partition filter, only later partitions can contain a marker.
    """
    roles = {getattr(warehouse.config, role): role for role in ROLES}
    try:
        datasets = [each.dataset_id for each in warehouse.client.list_datasets(retry=warehouse.retry)]
    except _NO_ANSWER:
        datasets = list(roles)
    for dataset in datasets:
        _search_dataset(findings, warehouse, dataset, roles.get(dataset), since, events_since)
    _search_history(findings, warehouse, since)


def _search_dataset(
    findings: Findings, warehouse: Warehouse, dataset: str, role: str | None, since: datetime, events_since: datetime
) -> None:
    client, retry = warehouse.client, warehouse.retry
    try:
        tables = list(client.list_tables(f"{warehouse.config.project}.{dataset}", retry=retry))
        routines = list(client.list_routines(f"{warehouse.config.project}.{dataset}", retry=retry))
        shown = [client.get_routine(routine.reference, retry=retry).to_api_repr() for routine in routines]
        findings.in_bytes("table_metadata", _text(shown), f"routines of {dataset}")
    except _NO_ANSWER as error:
        findings.miss("table_metadata", "no_permission" if isinstance(error, Forbidden) else "no_answer")
        return
    for item in tables:
        where = find_table(role, item.table_id)
        try:
            live = client.get_table(item.reference, retry=retry)
        except NotFound:
            continue  # a working table of a build that has ended
        except _NO_ANSWER as error:
            findings.miss(where, "no_permission" if isinstance(error, Forbidden) else "no_answer")
            continue
        findings.in_bytes("table_metadata", _text([live.to_api_repr()]), f"the definition of {dataset}.{item.table_id}")
        _search_rows(findings, warehouse, where, live, since, events_since)


def _search_rows(
    findings: Findings, warehouse: Warehouse, where: Sink, live: bigquery.Table, since: datetime, events_since: datetime
) -> None:
    """Search the rows of a table, unless BigQuery says that none was written since; a view has none of its own."""
    place = f"{live.dataset_id}.{live.table_id}"
    is_old = warehouse.emulator is None and live.modified and live.modified < since and not live.streaming_buffer
    if is_old or live.table_type in _WITHOUT_ROWS:
        with findings.searching(where):
            return
    if live.table_type != "TABLE":
        findings.miss(where, "no_interface")
        return
    restriction = ""
    if live.require_partition_filter and live.time_partitioning:
        restriction = f"{live.time_partitioning.field} >= TIMESTAMP '{events_since:%Y-%m-%d %H:%M:%S}+00'"
    columns = [column.name for column in live.schema]
    try:
        _search_columns(findings, warehouse, where, place, columns, restriction)
    except UserError:  # columns with policy tags need another role
        findings.miss(where, "no_permission")
        open_columns = [column.name for column in live.schema if column.policy_tags is None]
        if 0 < len(open_columns) < len(columns):
            try:
                _search_columns(findings, warehouse, where, place, open_columns, restriction)
            except RawlessError:
                return
    except Unavailable:
        findings.miss(where, "no_answer")


def _search_columns(
    findings: Findings, warehouse: Warehouse, where: Sink, place: str, columns: list[str], restriction: str
) -> None:
    batches = read(warehouse, f"{warehouse.config.project}.{place}", columns, restriction)
    first = next(batches, None)  # a refusal is raised before anything counts as searched
    with findings.searching(where) as finding:
        for batch in () if first is None else chain([first], batches):
            parts = chain(schema_parts(batch.schema), batch_parts([batch], Budget(batch.nbytes)))
            finding.traces |= findings.search.in_parts(parts, place, batch.nbytes)


def _search_history(findings: Findings, warehouse: Warehouse, since: datetime) -> None:
    for all_users in (True, False):
        try:
            jobs = warehouse.client.list_jobs(all_users=all_users, min_creation_time=since, retry=warehouse.retry)
            text = _text([job.to_api_repr() for job in jobs])
        except _NO_ANSWER as error:
            findings.miss("query_history", "no_permission" if isinstance(error, Forbidden) else "no_answer")
            continue
        findings.in_bytes("query_history", text, "the history of queries")
        return


def _text(described: list[Any]) -> bytes:
    return json.dumps(described, default=str, ensure_ascii=False).encode(errors="replace")

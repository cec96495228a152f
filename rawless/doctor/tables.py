"""Check that the datasets and tables exist and match their schemas."""

import shlex
from collections.abc import Iterator

from google.cloud import bigquery

from rawless.doctor.finding import Finding
from rawless.doctor.google import Google
from rawless.doctor.requirements import JobRequirements
from rawless.errors import UserError
from rawless.warehouse import tables
from rawless.warehouse.client import Warehouse


def check(google: Google, job: JobRequirements) -> Iterator[Finding]:
    """Check each dataset, and each table of those that exist."""
    config = job.config
    missing = {
        role
        for role in tables.ROLES
        if google.get("bigquery", f"bigquery/v2/projects/{config.project}/datasets/{getattr(config, role)}") is None
    }
    for role in sorted(missing):
        dataset = f"{config.project}:{getattr(config, role)}"
        command = f"bq --location={config.location} mk --dataset {dataset}"
        yield Finding("dataset", False, f"The dataset {dataset} does not exist.", command)
    warehouse = Warehouse(config)
    for name in tables.names():
        if tables.table(name).dataset not in missing:
            yield _table(google, job, warehouse, name)


def _table(google: Google, job: JobRequirements, warehouse: Warehouse, name: str) -> Finding:
    project, dataset, _ = warehouse.table_id(name).split(".")
    path = f"bigquery/v2/projects/{project}/datasets/{dataset}/tables/{name}"
    live = google.get("bigquery", path)
    if live is None:
        # Opening the warehouse creates missing tables, if this account may.
        command = f"rawless encoder list --warehouse {shlex.quote(str(job.file))}"
        return Finding("table", False, f"The table {warehouse.table_id(name)} does not exist.", command)
    try:
        warehouse.compare(name, bigquery.Table.from_api_repr(live))
    except UserError as error:
        return Finding("table", False, str(error), f"bq show --schema {project}:{dataset}.{name}")
    return Finding("table", True, f"{warehouse.table_id(name)} matches its schema")

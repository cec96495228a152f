"""A real project of Google Cloud, where one is named and there are credentials; else a test is skipped."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from google.cloud import bigquery

from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import WarehouseConfig
from rawless.warehouse.tables import ROLES

PROJECT_VARIABLE = "RAWLESS_TEST_PROJECT"
LOCATION_VARIABLE = "RAWLESS_TEST_LOCATION"
EXPIRATION = timedelta(days=1)
"""After which BigQuery deletes the tables of a test that was killed."""


@contextmanager
def cloud_warehouse() -> Iterator[Warehouse]:
    """A warehouse with datasets of its own, which are deleted afterwards. Tables that remain expire."""
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    project = os.environ.get(PROJECT_VARIABLE)
    if not project:
        pytest.skip(f"{PROJECT_VARIABLE} names no project of Google Cloud")
    try:
        google.auth.default()
    except DefaultCredentialsError:
        pytest.skip("there are no credentials of Google Cloud here")
    mark = f"rawless_test_{uuid.uuid4().hex[:12]}"
    location = os.environ.get(LOCATION_VARIABLE, "US")
    datasets = {role: f"{mark}_{role}" for role in ROLES}
    warehouse = Warehouse(WarehouseConfig.model_validate({"project": project, "location": location, **datasets}))
    try:
        for role in ROLES:
            dataset = bigquery.Dataset(warehouse.dataset_id(role))
            dataset.location = location
            dataset.default_table_expiration_ms = int(EXPIRATION.total_seconds() * 1000)
            warehouse.client.create_dataset(dataset)
        warehouse.ensure()
        yield warehouse
    finally:
        for role in ROLES:
            dataset = warehouse.dataset_id(role)
            warehouse.client.delete_dataset(dataset, delete_contents=True, not_found_ok=True)

"""The table of a snapshot: who may see its vectors."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.cloud import bigquery

from rawless.datasets import snapshot_tables
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import Emulator, WarehouseConfig
from rawless.warehouse.tables import table
from tests.fake_google import FakeGoogle, fake_google, refused

SNAPSHOT = "0123456789abcdef"
TAG = "projects/a-project/locations/eu/taxonomies/1/policyTags/2"
DATASETS = "/bigquery/v2/projects/a-project/datasets"
EVENTS, SNAPSHOTS = f"GET {DATASETS}/events/tables/embedding_event_v1", f"POST {DATASETS}/snapshots/tables"
CONFIG = WarehouseConfig(
    project="a-project", events="events", snapshots="snapshots", builds="builds", subjects="subjects", audit="audit"
)


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    """Google with a table of events, in which the vectors have a policy tag."""
    with fake_google() as fake:
        fake.answers[EVENTS] = _events({"policyTags": {"names": [TAG]}})
        yield fake


def _events(of_embedding: dict[str, Any]) -> dict[str, Any]:
    """Return the table of events with further properties of the column `embedding`."""
    events = table("embedding_event_v1").to_bigquery("a-project.events.embedding_event_v1").to_api_repr()
    for column in events["schema"]["fields"]:
        column |= of_embedding if column["name"] == "embedding" else {}
    return events


def _create(google: FakeGoogle) -> bigquery.Table:
    """Create the table of a snapshot, and return it as it was requested."""
    requested: list[dict[str, Any]] = []

    def create(fields: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        requested.append(fields)
        return 200, fields

    google.answers[SNAPSHOTS] = create
    snapshot_tables.create(_warehouse(google), SNAPSHOT)
    return bigquery.Table.from_api_repr(requested[0])


def _warehouse(google: FakeGoogle) -> Warehouse:
    return Warehouse(CONFIG, Emulator(google.url, "127.0.0.1:9"), retry_seconds=1.0)


def test_vectors_of_a_snapshot_have_the_policy_tags_of_the_vectors_of_events(google: FakeGoogle) -> None:
    created = _create(google)

    assert {column.name: column.policy_tags.names for column in created.schema if column.policy_tags} == {
        "embedding": (TAG,),
        "right_embedding": (TAG,),
    }


def test_a_table_with_policy_tags_has_the_schema_of_one_without(google: FakeGoogle) -> None:
    tagged = _create(google)
    google.answers[EVENTS] = _events({})
    plain = _create(google)

    def columns(created: bigquery.Table) -> list[tuple[Any, ...]]:
        return [(each.name, each.field_type, each.mode, each.description, each.fields) for each in created.schema]

    assert columns(tagged) == columns(plain)
    assert not any(column.policy_tags for column in plain.schema)
    assert plain.schema == [column.to_bigquery() for column in table("snapshot_v1").columns]


def test_an_account_that_may_not_set_policy_tags_is_told_what_it_lacks(google: FakeGoogle) -> None:
    google.answers[SNAPSHOTS] = refused(403, "PERMISSION_DENIED")

    with pytest.raises(UserError, match=r"a-project\.snapshots.*bigquery\.tables\.setCategory.*datacatalog\.viewer"):
        snapshot_tables.create(_warehouse(google), SNAPSHOT)


def test_no_table_is_created_if_the_policy_tags_cannot_be_read(google: FakeGoogle) -> None:
    google.answers[EVENTS] = refused(403, "PERMISSION_DENIED")

    with pytest.raises(UserError, match=r"may not see the table a-project\.events\.embedding_event_v1"):
        snapshot_tables.create(_warehouse(google), SNAPSHOT)

    assert google.requests == [EVENTS]

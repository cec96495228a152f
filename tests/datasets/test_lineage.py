"""The lineage of a snapshot as OpenLineage, checked by OpenLineage's own schemas.

`openlineage.json` contains these (version 2-0-2, Apache-2.0, https://openlineage.io/spec) without their descriptions.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from rawless.datasets import column_lineage, export
from rawless.datasets.column_lineage import Origin
from rawless.datasets.dataset import open_dataset
from rawless.datasets.lineage import lineage, openlineage
from rawless.datasets.snapshots import Manifest
from rawless.warehouse.parameters import parameters
from tests.shop import Shop
from tests.sql.test_snapshot_cases import HERE as CASES

SCHEMAS = {schema["$id"]: schema for schema in json.loads((Path(__file__).parent / "openlineage.json").read_text())}
REGISTRY = jsonschema_rs.Registry(list(SCHEMAS.items()))


def check(value: Any, url: str) -> None:
    """Check a value by the schema that a URL names, and that it has no field but those of the schema."""
    jsonschema_rs.validator_for({"$ref": url}, registry=REGISTRY, validate_formats=True).validate(value)
    document, _, name = url.partition("#/$defs/")
    definition = SCHEMAS[document]["$defs"][name]
    parts = [definition, *(part for part in definition.get("allOf", ()) if "properties" in part)]
    known = {field for part in parts for field in part.get("properties", {})}
    assert set(value) <= known | {"_producer", "_schemaURL", "eventTime", "producer", "schemaURL"}


def facets(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in (event["run"], event["job"], *event["inputs"], *event["outputs"]):
        for kind in ("facets", "inputFacets", "outputFacets"):
            yield from part.get(kind, {}).values()


@pytest.fixture
def built(shop: Shop, tmp_path: Path) -> Manifest:
    """A snapshot with an export and two versions of a head."""
    manifest = shop.build().manifest
    warehouse = shop.warehouse
    export.record(warehouse, manifest.snapshot_id, tmp_path / "ä copy.parquet")
    for number, snapshot_id in [(1, manifest.snapshot_id), (2, manifest.snapshot_id), (3, "0" * 24)]:
        warehouse.query(
            f"INSERT INTO `{warehouse.table_id('head_v1')}` (head, version, kind, snapshot_id, fingerprint, metrics,"
            " artefact_digest, created_at) VALUES ('topics', @number, 'linear', @snapshot_id, 'f', [], 'd', @at)",
            parameters({"number": number, "snapshot_id": snapshot_id, "at": datetime(2026, 2, number, tzinfo=UTC)}),
        )
    return manifest


def test_a_snapshot_lies_between_its_sources_and_what_was_made_of_it(
    shop: Shop, built: Manifest, tmp_path: Path
) -> None:
    found = lineage(shop.warehouse, built)
    events = list(openlineage(found))
    again = list(openlineage(lineage(shop.warehouse, built)))

    for event in events:
        check(event, event["schemaURL"])
        for facet in facets(event):
            check(facet, facet["_schemaURL"])
    assert events == again  # so that it can be sent twice
    assert len({event["run"]["runId"] for event in events}) == len(events) == 4
    build, *others = events
    assert build["job"]["name"] == "dataset.uploads"
    assert build["run"]["facets"]["nominalTime"]["nominalStartTime"] == "2026-02-01T00:00:00+00:00"
    rows = {each["name"].rpartition(".")[2]: each["inputFacets"] for each in build["inputs"]}
    assert {name: each["inputStatistics"]["rowCount"] for name, each in rows.items() if each} == {
        "account_closed": 2, "confirmed": 120, "embedding_event_v1": 120,
    }  # fmt: skip
    assert build["inputs"][-1]["name"] == "encoder/tiny"
    assert build["inputs"][-1]["facets"]["version"]["datasetVersion"] == "f" * 64
    (snapshot,) = build["outputs"]
    assert snapshot["facets"]["version"]["datasetVersion"] == built.snapshot_id
    assert snapshot["outputFacets"]["outputStatistics"]["rowCount"] == 114
    check_columns(snapshot)
    named = {
        (each["namespace"], each["name"], each["facets"]["version"]["datasetVersion"]) for each in build["outputs"]
    }
    for event in others:
        inputs = {
            (each["namespace"], each["name"], each["facets"]["version"]["datasetVersion"]) for each in event["inputs"]
        }
        assert named <= inputs
    made = [(event["job"]["name"], event["outputs"][0]["name"]) for event in others]
    assert made == [
        ("head.topics", "head/topics"),
        ("head.topics", "head/topics"),
        ("dataset.uploads.export", str(tmp_path / "ä copy.parquet")),
    ]
    assert all("customer" not in json.dumps(event) and "person-3" not in json.dumps(event) for event in events)


def check_columns(snapshot: dict[str, Any]) -> None:
    """Check that columns are traced to the tables' own columns."""
    traced = snapshot["facets"]["columnLineage"]
    fields = {
        name: [(each["name"].rpartition(".")[2], each["field"]) for each in field["inputFields"]]
        for name, field in traced["fields"].items()
    }

    assert fields["label"] == [("confirmed", "value")]
    assert fields["embedding"] == [("embedding_event_v1", "embedding")]
    assert fields["person_key"] == [("subject_map_v1", "person_key"), ("embedding_event_v1", "subject_key")]
    assert {each["name"] for each in snapshot["facets"]["schema"]["fields"]} >= fields.keys()
    decisive = {(each["name"].rpartition(".")[2], each["field"]) for each in traced["dataset"]}
    assert decisive == {
        ("account_closed", "closed_at"), ("embedding_event_v1", "event_id"), ("embedding_event_v1", "occurred_at"),
        ("embedding_event_v1", "subject_key"),
    }  # fmt: skip
    assert {each["transformations"][0]["type"] for each in traced["dataset"]} == {"INDIRECT"}


def test_a_label_that_cannot_be_traced_is_left_out(write_dataset: Callable[[str], Path]) -> None:
    dataset = open_dataset(write_dataset("SELECT * FROM UNNEST([1]) AS x"))

    assert column_lineage.of_label(dataset) == {}


def test_a_label_is_traced_through_its_parts(write_dataset: Callable[[str], Path]) -> None:
    sql = """
    WITH told AS (SELECT c.event_id AS id, CONCAT(c.value, c.unit) AS said, c.known_at AS at FROM confirmed AS c)
    SELECT told.id AS event_id, told.said AS label, told.at AS labelled_at FROM told
    """

    assert column_lineage.of_label(open_dataset(write_dataset(sql))) == {
        "label": [Origin("confirmed", name, "DIRECT", "TRANSFORMATION") for name in ("unit", "value")]
    }


def test_an_event_that_breaks_the_schema_is_found() -> None:
    """The check of this module can fail."""
    url = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
    run = {"runId": "00000000-0000-5000-8000-000000000000"}
    event = {"eventTime": "2026-02-01T00:00:00+00:00", "producer": "a:b", "schemaURL": url, "eventType": "COMPLETE",
             "run": run, "job": {"namespace": "n", "name": "j"}}  # fmt: skip
    check(event, url)

    for wrong in ({"run": {"runId": "7"}}, {"eventType": "DONE"}, {"eventTime": "now"}, {"job": {"name": "j"}}):
        with pytest.raises(jsonschema_rs.ValidationError):
            check(event | wrong, url)


@pytest.fixture
def write_dataset(tmp_path: Path) -> Callable[[str], Path]:
    """Writes the dataset of the cases with another label."""

    def write(sql: str) -> Path:
        (tmp_path / "labels").mkdir()
        (tmp_path / "labels" / "confirmed.sql").write_text(f"/*\nsays: A label.\nkind: event\n*/\n{sql}")
        file = tmp_path / "dataset.yaml"
        file.write_text((CASES / "dataset.yaml").read_text())
        return file

    return write

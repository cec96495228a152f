"""The tables of the design, as folders: each there, each with its columns, each one that BigQuery takes."""

from collections.abc import Iterator

import pytest

from rawless.warehouse.tables import FOLDER, ROLES, Column, functions, names, table

DESIGN: dict[str, set[str]] = {
    "embedding_event_v1": {
        *("stream", "event_id", "subject_key", "subject_key_id", "occurred_at", "logged_at", "origin", "caller_key"),
        *("modality", "encoder", "encoder_version", "encoder_fingerprint", "embedding", "truncated", "attributes"),
    },
    "rejection_v1": {
        *("stream", "event_id", "subject_key", "subject_key_id", "message_id", "stage", "reason", "size_bucket"),
        *("encoder_fingerprint", "rejected_at"),
    },
    "subject_map_v1": {"customer_id", "subject_key", "subject_key_id", "person_key"},
    "encoder_v1": {"name", "version", "fingerprint", "spec", "sealed", "registered_at"},
    "stream_pointer_v1": {"stream", "role", "encoder_fingerprint", "since"},
    "snapshot_v1": {
        *("event_id", "left_event_id", "right_event_id", "stream", "occurred_at", "logged_at", "label", "label_value"),
        *("split", "person_key", "encoder_fingerprint", "dimension", "embedding", "right_embedding", "attributes"),
        *("features", "is_capped", "row_hash"),
    },
    "snapshot_manifest_v1": {
        *("dataset", "snapshot_id", "spec", "sql_digest", "as_of", "fingerprint", "sources", "ledger", "counts"),
        *("row_digest", "bytes_processed", "created_at", "requested_at"),
    },
    "export_v1": {"snapshot_id", "path", "made_at"},
    "head_v1": {
        *("head", "version", "kind", "snapshot_id", "fingerprint", "metrics", "artefact_digest", "created_at"),
    },
    "prediction_v1": {
        *("stream", "event_id", "subject_key", "subject_key_id", "caller_key", "head", "version", "probabilities"),
        *("abstention", "predicted_at"),
    },
    "tombstone_v1": {"person_key", "subject_keys", "erased_before", "certificate_id"},
    "event_tombstone_v1": {"stream", "event_id", "erased_at", "certificate_id"},
}
"""What the design lists, column by column."""
UNLISTED = {
    *("leakage_audit_v1", "canary_v1", "waiver_v1", "inspection_v1", "erasure_v1", "snapshot_erasure_v1", "drift_v1"),
}

RESERVED = (
    " ALL AND ANY ARRAY AS ASC ASSERT_ROWS_MODIFIED AT BETWEEN BY CASE CAST COLLATE CONTAINS CREATE CROSS "
    " CUBE CURRENT DEFAULT DEFINE DESC DISTINCT ELSE END ENUM ESCAPE EXCEPT EXCLUDE EXISTS EXTRACT FALSE "
    " FETCH FOLLOWING FOR FROM FULL GROUP GROUPING GROUPS HASH HAVING IF IGNORE IN INNER INTERSECT "
    " INTERVAL INTO IS JOIN LATERAL LEFT LIKE LIMIT LOOKUP MERGE NATURAL NEW NO NOT NULL NULLS OF ON OR "
    " ORDER OUTER OVER PARTITION PRECEDING PROTO QUALIFY RANGE RECURSIVE RESPECT RIGHT ROLLUP ROWS SELECT "
    " SET SOME STRUCT TABLESAMPLE THEN TO TREAT TRUE UNBOUNDED UNION UNNEST USING WHEN WHERE WINDOW WITH "
    " WITHIN "
)


def columns(within: tuple[Column, ...]) -> Iterator[Column]:
    """Yield all columns, including nested ones."""
    for column in within:
        yield column
        yield from columns(column.fields)


def by_name(name: str) -> dict[str, Column]:
    return {column.name: column for column in table(name).columns}


def test_the_tables_are_those_of_the_design() -> None:
    assert {*names(), "snapshot_v1"} == set(DESIGN) | UNLISTED
    assert table("snapshot_v1").per_snapshot


@pytest.mark.parametrize("name", sorted({*DESIGN, *UNLISTED}))
def test_every_table_has_a_complete_readme(name: str) -> None:
    readme = (FOLDER / name / "README.md").read_text()
    for word in ("grain", "source", "retention", "owner", "schema.yaml", "Caveats"):
        assert word in readme, word


@pytest.mark.parametrize("name", DESIGN)
def test_a_table_has_the_columns_of_the_design(name: str) -> None:
    assert set(by_name(name)) == DESIGN[name]


@pytest.mark.parametrize("name", names())
def test_no_column_is_a_reserved_word_or_a_duplicate(name: str) -> None:
    found = [column.name for column in table(name).columns]
    assert len(found) == len(set(found))
    for column in columns(table(name).columns):
        assert f" {column.name.upper()} " not in RESERVED, column.name


@pytest.mark.parametrize("name", names())
def test_clustering_and_partitioning_use_columns_of_allowed_types(name: str) -> None:
    found = by_name(name)
    assert len(table(name).cluster) <= 4
    for each in table(name).cluster:
        assert found[each].type in {"STRING", "INT64", "BOOL", "TIMESTAMP"}
        assert found[each].mode != "REPEATED"
    if partition := table(name).partition:
        assert found[partition.field].type == "TIMESTAMP"


@pytest.mark.parametrize("name", names())
def test_records_have_fields_and_only_records_have(name: str) -> None:
    for column in columns(table(name).columns):
        assert bool(column.fields) is (column.type == "RECORD"), column.name


@pytest.mark.parametrize("name", names())
def test_every_schema_converts_to_bigquery_and_arrow(name: str) -> None:
    made = table(name).to_bigquery(f"project.dataset.{name}")
    assert [field.name for field in made.schema] == table(name).arrow_schema.names
    for field, column, arrow in zip(made.schema, table(name).columns, table(name).arrow_schema, strict=True):
        assert (field.field_type, field.mode) == (column.type, column.mode)
        assert arrow.nullable is (column.mode != "REQUIRED")
        assert column.description


def test_embedding_events_have_the_layout_of_the_design() -> None:
    found = table("embedding_event_v1")
    assert found.dataset == "events"
    assert found.partition is not None
    assert (found.partition.field, found.partition.filter_required) == ("occurred_at", True)
    assert found.cluster == ("stream", "encoder", "encoder_version", "subject_key")
    embedding = by_name("embedding_event_v1")["embedding"]
    assert (embedding.type, embedding.mode) == ("FLOAT64", "REPEATED")
    attributes = by_name("embedding_event_v1")["attributes"]
    assert (attributes.mode, [field.name for field in attributes.fields]) == ("REPEATED", ["key", "value"])


def test_rejections_are_partitioned_by_their_time() -> None:
    partition = table("rejection_v1").partition
    assert partition is not None
    assert partition.field == "rejected_at"


@pytest.mark.parametrize("name", sorted({*DESIGN, *UNLISTED}))
def test_rows_are_kept_as_long_as_the_readme_says(name: str) -> None:
    readme = (FOLDER / name / "README.md").read_text()
    (retention,) = [line.split("|")[2].strip() for line in readme.splitlines() if line.startswith("| retention |")]
    partition = table(name).partition
    lifetime = table(name).to_bigquery(f"project.dataset.{name}").time_partitioning

    assert (partition and partition.days) == (int(retention[:-5]) if retention.endswith(" days") else None)
    if partition and partition.days:
        assert lifetime.expiration_ms == partition.days * 86_400_000


def test_the_subject_map_is_alone_in_its_dataset() -> None:
    assert [name for name in names() if table(name).dataset == "subjects"] == ["subject_map_v1"]
    assert {table(name).dataset for name in names()} == set(ROLES) - {"builds"}


@pytest.mark.parametrize("name", sorted({*DESIGN, *UNLISTED}))
def test_no_column_invites_free_text(name: str) -> None:
    for column in columns(table(name).columns):
        assert not {"text", "comment", "note", "message", "payload", "content", "traceback", "error"} & {column.name}


def test_the_table_functions_are_found_beside_their_tables() -> None:
    assert set(functions()) == {"embedding_event", "prediction", "rejection"}

"""The tables of the plan against sql/, the one truth."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rawless.warehouse import tables
from terraform.checks.plan import Resource

_DAY = 24 * 60 * 60 * 1000


def faults(tree: Path, resources: Sequence[Resource]) -> Iterator[str]:
    """Tables that are missing, too many, or other than sql/*/schema.yaml says."""
    made = {each.values["table_id"]: each.values for each in resources if each.type == "google_bigquery_table"}
    roles = {
        each.values["dataset_id"]: each.address.split('"')[1]
        for each in resources
        if each.type == "google_bigquery_dataset"
    }
    for name in sorted(set(tables.names()) | set(made)):
        if name not in made:
            yield f"The table {name} of sql/ is not made"
        elif name not in tables.names():
            yield f"The table {name} is not one of sql/"
        else:
            wanted = tables.table(name)
            for what, there, should in _compared(tree, name, wanted, made[name], roles):
                if there != should:
                    yield f"The table {name} has {what} {there}, but sql/{name} says {should}"


def _compared(
    tree: Path, name: str, wanted: tables.Table, made: dict[str, Any], roles: dict[str, str]
) -> Iterator[tuple[str, object, object]]:
    partition = (made["time_partitioning"] or [{}])[0]
    yield "the dataset", roles[made["dataset_id"]], wanted.dataset
    yield (
        "the columns",
        _columns(json.loads(made["schema"])),
        [column.to_bigquery().to_api_repr() for column in wanted.columns],
    )
    yield "the clusters", made["clustering"], list(wanted.cluster)
    yield "the partition", partition.get("field"), wanted.partition and wanted.partition.field
    filtered = wanted.partition.filter_required if wanted.partition else False
    yield "a required filter", bool(made["require_partition_filter"]), filtered
    yield "retention in days", partition.get("expiration_ms") and partition["expiration_ms"] / _DAY, _days(tree, name)


def _columns(schema: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the policy tags, which are no part of a table's contract."""
    found: list[dict[str, Any]] = []
    for column in schema:
        told = {key: value for key, value in column.items() if key != "policyTags"}
        found.append({**told, "fields": _columns(column["fields"])} if "fields" in column else told)
    return found


def _days(tree: Path, name: str) -> int | None:
    """What the table's README says of its retention, where that is a number of days."""
    readme = (tree / "sql" / name / "README.md").read_text(encoding="utf-8")
    (told,) = [line.split("|")[2].strip() for line in readme.splitlines() if line.startswith("| retention |")]
    return int(told.removesuffix(" days")) if told.endswith(" days") else None

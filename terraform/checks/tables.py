"""The tables of the plan, compared with sql/."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rawless.warehouse import tables
from terraform.checks.plan import Resource

_DAY = 24 * 60 * 60 * 1000


def violations(tree: Path, resources: Sequence[Resource]) -> Iterator[str]:
    """Tables that are missing, unknown, or different from sql/*/schema.yaml."""
    planned = {
        resource.values["table_id"]: resource.values
        for resource in resources
        if resource.type == "google_bigquery_table"
    }
    roles = {
        resource.values["dataset_id"]: resource.address.split('"')[1]
        for resource in resources
        if resource.type == "google_bigquery_dataset"
    }
    for name in sorted(set(tables.names()) | set(planned)):
        if name not in planned:
            yield f"The table {name} of sql/ is not in the plan"
        elif name not in tables.names():
            yield f"The table {name} is not one of sql/ that Terraform creates"
        else:
            for what, actual, expected in _compare(tree, name, tables.table(name), planned[name], roles):
                if actual != expected:
                    yield f"The table {name} has {what} {actual}, but sql/{name} specifies {expected}"


def _compare(
    tree: Path, name: str, table: tables.Table, planned: dict[str, Any], roles: dict[str, str]
) -> Iterator[tuple[str, object, object]]:
    """Name, planned value and specified value of each property of a table."""
    partition = (planned["time_partitioning"] or [{}])[0]
    yield "the dataset", roles[planned["dataset_id"]], table.dataset
    columns = [column.to_bigquery().to_api_repr() for column in table.columns]
    yield "the columns", _without_policy_tags(json.loads(planned["schema"])), columns
    yield "the clusters", planned["clustering"], list(table.cluster)
    yield "the partition", partition.get("field"), table.partition and table.partition.field
    is_filtered = table.partition.filter_required if table.partition else False
    yield "a required filter", bool(planned["require_partition_filter"]), is_filtered
    yield "retention in days", partition.get("expiration_ms") and partition["expiration_ms"] / _DAY, _days(tree, name)


def _without_policy_tags(columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The columns without their policy tags, which are no part of a table's contract."""
    return [
        {
            key: _without_policy_tags(value) if key == "fields" else value
            for key, value in column.items()
            if key != "policyTags"
        }
        for column in columns
    ]


def _days(tree: Path, name: str) -> int | None:
    """The retention in the table's README, if it is a number of days."""
    readme = (tree / "sql" / name / "README.md").read_text(encoding="utf-8")
    (retention,) = [line.split("|")[2].strip() for line in readme.splitlines() if line.startswith("| retention |")]
    return int(retention.removesuffix(" days")) if retention.endswith(" days") else None

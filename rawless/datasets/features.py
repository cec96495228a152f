"""Features: classes and numbers of business tables beside each vector, as they were known when the event occurred."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rawless.datasets import sources
from rawless.datasets.sources import EVENT, PERSON, SourceTable
from rawless.datasets.spec import DatasetSpec, Feature
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import Parameters, parameters

_TYPES = {
    "class": ("STRING", "INTEGER", "INT64", "BOOLEAN", "BOOL"),
    "number": ("INTEGER", "INT64", "FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC"),
}
PROBLEMS = {
    "absent": "without a row that was known at the event",
    "old": "whose row is older than max_age",
    "contradictory": "with contradictory rows of one time",
    "outside": "whose value is outside of its classes or range",
    "empty": "whose row has no value",
}
"""Why a feature is missing, by the name that the SQL gives it."""


@dataclass(frozen=True)
class FeatureColumn:
    """A feature with the table that it is read from, and the name of its CTEs and parameters."""

    name: str
    feature: Feature
    of: SourceTable
    prefix: str

    @property
    def key(self) -> str:
        """Return the expression that is joined with the event's person or id."""
        if self.feature.by == "event":
            return f"source.`{EVENT}`"
        return self.of.person if self.of.key else f"source.`{PERSON}`"

    @property
    def values(self) -> dict[str, Any]:
        """Return its query parameters."""
        feature = self.feature
        values: dict[str, Any] = {"name": self.name}
        if feature.max_age:
            values["max_age"] = int(feature.max_age.total_seconds())
        if feature.range and feature.step:
            values |= {"lowest": feature.range[0], "highest": feature.range[1], "step": feature.step}
        else:
            values["classes"] = feature.classes
        return {f"{self.prefix}_{name}": value for name, value in values.items()}


def look_up(
    warehouse: Warehouse, spec: DatasetSpec, labelling: Mapping[str, Collection[str]]
) -> dict[str, SourceTable]:
    """Look the tables of sources and features up in the warehouse and return them by name.

    `labelling` has the columns of sources whose texts are classes. Raises UserError for a table or column that is not
    as declared, Unavailable when BigQuery does not answer.
    """
    tables = sources.look_up(warehouse, spec.tables, labelling)
    for column in columns(spec, tables):
        _check(column)
    return tables


def columns(spec: DatasetSpec, tables: Mapping[str, SourceTable]) -> list[FeatureColumn]:
    """Return the features of a dataset, sorted by name."""
    return [
        FeatureColumn(name, feature, tables[feature.source.name], f"feature_{position}")
        for position, (name, feature) in enumerate(sorted(spec.features.items()))
    ]


def bind(features: list[FeatureColumn]) -> Parameters:
    """Return the query parameters of the CTEs of features."""
    return parameters({name: value for each in features for name, value in each.values.items()})


def warnings(features: list[FeatureColumn], counts: Mapping[str, int]) -> Iterator[str]:
    """Yield a sentence for each feature that is missing in some rows.

    `counts` has `examples`, their number, and under PREFIX_PROBLEM how often each problem occurs.
    """
    for each in features:
        found = {name: counts[f"{each.prefix}_{name}"] for name in PROBLEMS}
        if missing := sum(found.values()):
            reasons = ", ".join(f"{count:,} {PROBLEMS[name]}" for name, count in found.items() if count)
            yield f"The feature {each.name} is missing in {missing:,} of {counts['examples']:,} rows: {reasons}."


def _check(column: FeatureColumn) -> None:
    """Raise UserError for a feature whose columns its table does not have, or not as it needs them."""
    feature, table = column.feature, column.of
    where = f"The feature {column.name} reads {feature.table}"
    if feature.value not in table.columns:
        raise UserError(
            f"{where}, which has no column {feature.value} beside those that identify customers: name one of "
            f"{', '.join(table.columns)}."
        )
    if (kind := table.types[feature.value]) not in _TYPES[feature.type]:
        raise UserError(
            f"{where}, which has {feature.value} as {kind}, but a {feature.type} is one of "
            f"{', '.join(_TYPES[feature.type])}: name another column or convert it."
        )
    if feature.by == "event" and EVENT not in table.types:
        raise UserError(f"{where}, which has no column {EVENT}: leave by: event out, or add the column.")
    if feature.by == "person" and not table.key and PERSON not in table.types:
        raise UserError(f"{where}, which has no column that identifies persons: name its customer, or write by: event.")

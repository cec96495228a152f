"""The statements that build a snapshot: templates with tables and sources in their places, values as parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jinja2

from rawless.datasets import sources
from rawless.datasets.dataset import Dataset
from rawless.datasets.query_files import RESERVED, Query
from rawless.datasets.query_policy.validate_query import Judged, judge
from rawless.datasets.rendering import template
from rawless.datasets.sources import Columns
from rawless.datasets.spec import Value
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import Parameters, parameters
from rawless.warehouse.templates import environment

OLDEST = timedelta(days=3660)
"""How far back before the as-of events are looked for; a stream's own `max_age` is as long."""
UNLABELLED, AMBIGUOUS, IMMATURE = range(3)
"""The first lines of the ledger: what a label removes."""
OUTSIDE = -1
"""Of labels that are none of the classes: one is too many."""
_EVENT = ("event_id", "person_key", "occurred_at", "logged_at", "attributes")
_EXAMPLE = ("example_id", *_EVENT, "label", "label_value", "labelled_at")
_LABEL_OUTPUT = {
    "event": ("event_id", "label", "labelled_at"),
    "pair": ("left_event_id", "right_event_id", "label", "labelled_at"),
    "subject": ("person_key", "label", "labelled_at"),
}


@dataclass(frozen=True)
class Statement:
    """SQL with its parameters: values are in these only."""

    name: str
    sql: str
    parameters: Parameters = ()


@dataclass(frozen=True)
class Build:
    """What the statements of one build are made of."""

    dataset: Dataset
    warehouse: Warehouse
    columns: Mapping[str, Columns]
    """The sources by name."""
    work: str
    """Names the tables that the build works in, and nobody reads."""

    @property
    def event(self) -> str:
        """The table of eligible events."""
        return f"{self.warehouse.dataset_id('snapshots')}.{self.work}_event"

    @property
    def example(self) -> str:
        """The table of examples, with what removed each."""
        return f"{self.warehouse.dataset_id('snapshots')}.{self.work}_example"

    @property
    def as_of(self) -> datetime:
        """The time at which everything was known, in UTC."""
        return self.dataset.spec.as_of

    def template(self, name: str, **names: object) -> str:
        """One of our templates with the build's tables in their places."""
        return template(self.warehouse, name, **{"event": self.event, "example": self.example, **names})

    def rendered(self, query: Query, values: Mapping[str, Value | None]) -> tuple[str, Judged]:
        """SQL of a label or rule with sources and columns in their places, and what its tree says. Raises UserError."""
        header = query.header
        sourced = [
            str(values[name]) for name, each in header.parameters.items() if each.type == "source" and values[name]
        ]
        for name in sourced:
            if name not in self.columns:
                known = ", ".join(self.columns) or "none"
                raise UserError(
                    f"{query.where} reads {name}, but the sources are: {known}. Declare it, or name another."
                )
        try:
            text = environment().from_string(query.sql).render(values)
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            raise UserError(
                f"{query.where} has Jinja that cannot be rendered ({type(error).__name__}): mend it."
            ) from None
        bindable = {name for name, each in header.parameters.items() if each.type not in ("source", "column")}
        known_names = {"as_of"} | {name for name in bindable if values[name] is not None}
        judged = judge(text, tables={"event", *self.columns}, parameters=known_names, where=query.where)
        if unused := sorted(known_names - judged.parameters - RESERVED):
            raise UserError(f"{query.where} has the parameter {unused[0]}, but its SQL does not use it: take it out.")
        return text, judged

    def judged(self) -> list[Judged]:
        """What the trees of label and rules say. Raises UserError."""
        return [self.rendered(query, values)[1] for query, values in self.dataset.parameters()]

    def inputs(self, judged: Judged, columns: Sequence[str], table: str, alive: bool) -> str:
        """The CTEs that a query reads: `event`, and the sources that it names, each as of the as-of."""
        told = ",\n    ".join(f"work.{name}" for name in columns)
        where = "\n  WHERE work.removed_by IS NULL" if alive else ""
        event = f"event AS (\n  SELECT\n    {told}\n  FROM `{table}` AS work{where}\n)"
        named = sorted(judged.tables - {"event"})
        return f"{event},\n{sources.render(self.columns, named, self.warehouse)}" if named else event

    def eligible(self) -> Statement:
        """The stream's events as they were known, without vectors."""
        spec = self.dataset.spec
        encoder, _, version = spec.encoder.partition("@")
        values = {"stream": spec.stream, "encoder": encoder, "encoder_version": version, "as_of": self.as_of}
        values |= {"start_at": self.as_of - OLDEST, "end_at": self.as_of + timedelta(microseconds=1)}
        return Statement("eligible", self.template("eligible"), parameters(values))

    def labelled(self) -> Statement:
        """The examples, and what their labels remove. Raises UserError when the label's query does not fit."""
        spec, (query, values) = self.dataset.spec.label, self.dataset.parameters()[0]
        if query.header.kind != spec.kind:
            raise UserError(
                f"{query.where} labels by {query.header.kind}, but the dataset's label has kind {spec.kind}."
            )
        text, judged = self.rendered(query, values)
        outputs(query, judged, _LABEL_OUTPUT[spec.kind])
        inputs = self.inputs(judged, _EVENT, self.event, alive=False)
        sql = self.template(f"labelled_{spec.kind}", inputs=inputs, query=text)
        return Statement("labelled", sql, [*self._label_parameters(), *parameters(_used(values, judged))])

    def _label_parameters(self) -> Parameters:
        label = self.dataset.spec.label
        lowest, highest = label.range or (0.0, 0.0)
        values: dict[str, Any] = {"unlabelled": UNLABELLED, "ambiguous": AMBIGUOUS, "immature": IMMATURE}
        values |= {"outside": OUTSIDE, "is_number": label.type == "number", "lowest": lowest, "highest": highest}
        values |= {"as_of": self.as_of, "mature_at": self.as_of - (label.maturity or timedelta(0))}
        if label.window:
            values["window_seconds"] = int(label.window.total_seconds())
        return parameters({**values, "classes": label.classes})

    def rule(self, query: Query, values: Mapping[str, Value | None], step: int) -> Statement:
        """Marks the examples that a rule removes, by its line of the ledger. Raises UserError."""
        text, judged = self.rendered(query, values)
        outputs(query, judged, ("example_id", "event_id"))
        inputs = self.inputs(judged, _EXAMPLE, self.example, alive=True)
        sql = self.template("rule", inputs=inputs, query=text, without_subject=query.header.without_subject)
        own = parameters({"as_of": self.as_of, "step": step})
        return Statement(query.name, sql, [*own, *parameters(_used(values, judged))])

    def snapshot(self, values: Parameters = ()) -> Statement:
        """The rows that are left, with their vectors; its values are known once all the others have run."""
        name = "snapshot_pair" if self.dataset.spec.label.kind == "pair" else "snapshot"
        return Statement("snapshot", self.template(name), values)


def outputs(query: Query, judged: Judged, wanted: Sequence[str]) -> None:
    """Raises UserError unless a query gives just these columns."""
    if set(judged.output) != set(wanted):
        raise UserError(f"{query.where} gives {', '.join(judged.output)}, but must give {', '.join(wanted)}.")


def _used(values: Mapping[str, Value | None], judged: Judged) -> dict[str, Value | None]:
    """The values that a query uses."""
    return {name: values[name] for name in sorted(judged.parameters - RESERVED)}

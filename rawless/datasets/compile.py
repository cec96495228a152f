"""Compile a dataset: parse, bind and validate its queries once, and write the statements that build its snapshot."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial
from textwrap import indent
from typing import Any, NamedTuple

import jinja2

from rawless.datasets import features, snapshot_tables, sources
from rawless.datasets.adapter import DatasetAdapter, find_adapter
from rawless.datasets.dataset import Dataset
from rawless.datasets.features import FeatureColumn
from rawless.datasets.identity import normalise_sql, snapshot_id
from rawless.datasets.near_duplicates import search_values
from rawless.datasets.query_files import ENTITY, RESERVED, Header, Query, bind, parse_header
from rawless.datasets.query_policy.validate_query import ValidatedQuery, validate_query
from rawless.datasets.rendering import render_template
from rawless.datasets.sources import EVENT, PERSON, SourceTable
from rawless.datasets.spec import ByPerson, ByTime, DatasetSpec, Rule, Value, check_constant
from rawless.datasets.working_columns import ATTRIBUTES, COLUMNS
from rawless.errors import UserError
from rawless.events.stream import MAX_AGE
from rawless.similar_names import did_you_mean
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import Parameters, parameters
from rawless.warehouse.tables import table
from rawless.warehouse.templates import render_query

MAX_EVENT_AGE = MAX_AGE
"""How long before the as-of an event may have occurred."""
_OF_EVERY_LABEL = {"unlabelled": "labelled", "ambiguous": "unambiguous", "immature": "mature"}
LABEL_LINES = {
    "event": {"ineligible": "eligible", **_OF_EVERY_LABEL},
    "pair": {"same_event": "different_events", "ineligible": "eligible", **_OF_EVERY_LABEL},
    "subject": {
        "out_of_window": "event_in_window",
        **_OF_EVERY_LABEL,
        "later_of_event": "first_label_of_event",
    },
}
"""The first lines of the ledger by the kind of label, by the query parameter that is the position of the line."""
OUTSIDE = -1
"""Marks examples whose label is not one of the classes. A single one fails the build."""
EVENT_TYPES = {
    "event_id": "STRING", "person_key": "STRING", "occurred_at": "TIMESTAMP", "logged_at": "TIMESTAMP",
    "attributes": ATTRIBUTES,
}  # fmt: skip
EXAMPLE_TYPES = {
    "example_id": "STRING", **EVENT_TYPES, "label": "STRING", "label_value": "FLOAT64", "labelled_at": "TIMESTAMP",
}  # fmt: skip
"""The columns of `event` with their types, in SQL of labels and of rules."""
EVENT_COLUMNS, _EXAMPLE_COLUMNS = tuple(EVENT_TYPES), tuple(EXAMPLE_TYPES)
_LABEL_OUTPUT = {
    "event": ("event_id", "label", "labelled_at"),
    "pair": ("left_event_id", "right_event_id", "label", "labelled_at"),
    "subject": ("person_key", "label", "labelled_at"),
}
_RULE_OUTPUT = ("example_id", "event_id")
_TRIAL = {"label": "CAST(own.label AS STRING) IS NULL", "labelled_at": "own.labelled_at <= @as_of"}
"""What a build does with the columns of a label that are no ids."""
_SHOWN = 60
"""Characters of a text that an error shows."""
WORK_PREFIX = "build_"
"""Begins the names of working tables."""


@dataclass(frozen=True)
class Statement:
    """SQL with its parameters. Values are in the parameters only."""

    name: str
    sql: str
    parameters: Parameters = ()


class Span(NamedTuple):
    """How many examples remain, when they occurred, and whether some deliveries were logged at the same time."""

    examples: int
    first_at: datetime
    last_at: datetime
    is_tied: bool


@dataclass(frozen=True)
class CompiledQuery:
    """A label or rule with its header, the value of each parameter, and its rendered and validated SQL."""

    query: Query
    header: Header
    values: Mapping[str, Value | None]
    sql: str
    validated: ValidatedQuery
    at_event: frozenset[str] = frozenset()
    """The sources of which it sees what was known when the event occurred."""

    @property
    def stored(self) -> Query:
        """Return the query as a manifest stores it."""
        return self.query.rendered(self.header, self.values, self.sql)

    @property
    def texts(self) -> tuple[str, ...]:
        """Return all texts that are stored with a snapshot: literals, constants, and values of parameters."""
        texts = {*self.validated.texts, *self.header.constants}
        for name, parameter in self.header.parameters.items():
            value = self.values[name]
            texts |= {value} if isinstance(value, str) else set(value) if isinstance(value, tuple) else set()
            texts |= {*parameter.values, *([parameter.pattern] if parameter.pattern else [])}
        return tuple(sorted(texts))

    @property
    def parameters(self) -> Parameters:
        """Return the query parameters that the SQL uses, without the reserved ones."""
        return parameters({name: self.values[name] for name in sorted(self.validated.parameters - RESERVED)})

    @property
    def identity(self) -> dict[str, Any]:
        """Return all that determines the result of the query, as JSON values."""
        types = {name: parameter.type for name, parameter in self.header.parameters.items()}
        values = {name: str(value) if isinstance(value, datetime) else value for name, value in self.values.items()}
        return {
            "name": self.query.name,
            "without_subject": self.header.without_subject,
            "at_event": sorted(self.at_event),
            "sql": normalise_sql(self.sql),
            "parameters": {name: [types[name], value] for name, value in values.items()},
        }


@dataclass(frozen=True)
class CompiledDataset:
    """A dataset that is ready to be planned or built in one warehouse. Make it with `compile_dataset`."""

    dataset: Dataset
    warehouse: Warehouse
    label: CompiledQuery
    rules: tuple[CompiledQuery, ...]
    snapshot_id: str
    """The id under which rows are written: the snapshot's, or a temporary one to verify or compare a snapshot."""
    look_up_sources: Callable[[], Mapping[str, SourceTable]]
    """Looks the sources up in the warehouse at the first call only; see `sources`."""
    look_up_adapter: Callable[[], DatasetAdapter | None] = lambda: None
    """Looks the adapter up in the warehouse at the first call only; see `adapter`."""

    @property
    def sources(self) -> Mapping[str, SourceTable]:
        """Return the tables of sources and features by name, looked up once.

        Raises UserError for a table that is not as declared.
        """
        return self.look_up_sources()

    @property
    def adapter(self) -> DatasetAdapter | None:
        """Return the adapter whose rows are taken too, looked up once. Raises UserError for one that does not fit."""
        return self.look_up_adapter()

    @property
    def features(self) -> list[FeatureColumn]:
        """Return the features, sorted by name."""
        return features.columns(self.spec, self.sources)

    @property
    def spec(self) -> DatasetSpec:
        """Return the dataset file."""
        return self.dataset.spec

    @property
    def queries(self) -> tuple[CompiledQuery, ...]:
        """Return the label and the rules."""
        return (self.label, *self.rules)

    @property
    def stored(self) -> Dataset:
        """Return the dataset as a manifest stores it, for all who read snapshots, so that it can be built again."""
        rules = tuple(rule.stored for rule in self.rules)
        spec = self.spec.model_copy(update={"folder": "."})
        return Dataset(spec=spec, label=self.label.stored, rules=rules)

    @property
    def texts(self) -> dict[str, tuple[str, ...]]:
        """Return the texts that are stored with a snapshot, by what contains them; all its readers can see them."""
        texts = {f"{query.query.folder[:-1]} {query.query.name}": query.texts for query in self.queries}
        texts["classes"] = self.spec.label.classes
        for source in self.spec.sources:
            texts |= {f"source {source.name}.{column}": values for column, values in source.values.items()}
        for name, expected in self.spec.expect.sources.items():
            texts |= {f"expect {name}.{column}": values for column, values in expected.accepted_values.items()}
        return {name: values for name, values in texts.items() if values}

    @property
    def event_table(self) -> str:
        """Return the id of the working table of eligible events."""
        return f"{self.warehouse.dataset_id('builds')}.{WORK_PREFIX}{self.snapshot_id}_event"

    @property
    def example_table(self) -> str:
        """Return the id of the working table of examples, each with the step that removed it."""
        return f"{self.warehouse.dataset_id('builds')}.{WORK_PREFIX}{self.snapshot_id}_example"

    @property
    def mark_table(self) -> str:
        """Return the id of the working table of examples that a rule or a later step removed, and by which."""
        return f"{self.warehouse.dataset_id('builds')}.{WORK_PREFIX}{self.snapshot_id}_mark"

    @property
    def snapshot_table(self) -> str:
        """Return the id of the table of the snapshot's rows."""
        return snapshot_tables.table_id(self.warehouse, self.snapshot_id)

    @property
    def split_parameters(self) -> Parameters:
        """Return the parameters of the expression that assigns an example to a split."""
        split = self.spec.split
        if isinstance(split, ByTime):
            return parameters({"validation_from": split.validation_from, "test_from": split.test_from})
        shares = {"train": split.train, "train_and_validation": split.train + split.validation}
        return parameters({"split_salt": split.salt, **shares})

    def render(self, name: str, **names: object) -> str:
        """Return a template with the tables of the build and `names` filled in."""
        tables: dict[str, object] = {"event": self.event_table, "example": self.example_table, "mark": self.mark_table}
        tables |= {"snapshot": self.snapshot_table, "split_by": self.spec.split.by}
        tables |= {"adapted": self.spec.adapted is not None}
        return render_template(self.warehouse, name, **{**tables, **names})

    @property
    def encoder_values(self) -> dict[str, Any]:
        """Return the parameters that select the deliveries of the dataset's stream and encoder, by name."""
        encoder, _, version = self.spec.encoder.partition("@")
        own = {"stream": self.spec.stream, "encoder": encoder, "encoder_version": version}
        return own | (self.adapter.values if self.adapter else {})

    @property
    def earliest(self) -> datetime:
        """Return the earliest time at which an event may have occurred."""
        return self.spec.as_of - (self.spec.history or MAX_EVENT_AGE)

    def eligible(self) -> Statement:
        """Return the statement that selects the stream's events as they were known, without vectors."""
        as_of = self.spec.as_of
        values = self.encoder_values | {"as_of": as_of}
        values |= {"start_at": self.earliest, "end_at": as_of + timedelta(microseconds=1)}
        return Statement("eligible", self.render("eligible"), parameters(values))

    @property
    def stores_events(self) -> bool:
        """Return whether eligible events are stored before they are labelled, because that reads them several times."""
        return self.spec.label.kind != "event" or "event" in self.label.validated.tables

    def labelled(self) -> Statement:
        """Return the statement that selects the examples and marks those that the label removes."""
        inputs = f"{self._known_events()},\n{self._inputs(self.label, EVENT_COLUMNS, 'known_event')}"
        sql = self.render(f"labelled_{self.spec.label.kind}", inputs=inputs, query=self.label.sql)
        values = [*self._label_parameters(), *self.label.parameters]
        known = {each.name for each in values}
        own = () if self.stores_events else self.eligible().parameters
        return Statement("labelled", sql, [*values, *(each for each in own if each.name not in known)])

    def _known_events(self) -> str:
        if self.stores_events:
            selected = ",\n    ".join(f"work.{name}" for name in COLUMNS["event"])
            return f"known_event AS (\n  SELECT\n    {selected}\n  FROM `{self.event_table}` AS work\n)"
        return f"known_event AS (\n{indent(self.eligible().sql, '  ')}\n)"

    def label_type(self) -> Statement:
        """Return a statement whose dry run tells the type of the labels."""
        inputs = self._inputs(self.label, EVENT_COLUMNS, f"`{self.event_table}`", if_read=True)
        sql = self.render("label_type", inputs=inputs, query=self.label.sql)
        return Statement("label_type", sql, [*parameters({"as_of": self.spec.as_of}), *self.label.parameters])

    def removed_by(self, rule: CompiledQuery) -> Statement:
        """Return the SELECT of the examples that a rule removes among `remaining`."""
        inputs = self._inputs(rule, _EXAMPLE_COLUMNS, "remaining")
        sql = self.render("removed_by_rule", inputs=inputs, query=rule.sql, without_subject=rule.header.without_subject)
        return Statement(rule.query.name, sql, [*parameters({"as_of": self.spec.as_of}), *rule.parameters])

    def trial(self, query: CompiledQuery) -> Statement:
        """Return a statement that reads the label or a rule over no events, to be checked before a build."""
        is_label = query is self.label
        types = EVENT_TYPES if is_label else EXAMPLE_TYPES
        output = _LABEL_OUTPUT[self.spec.label.kind] if is_label else _RULE_OUTPUT
        nulls = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in types.items())
        conditions = " AND ".join(_TRIAL.get(name, f"own.{name} = no_event.event_id") for name in output)
        inputs = self._inputs(query, tuple(types), "no_event")
        sql = self.render("trial", nulls=nulls, inputs=inputs, query=query.sql, conditions=conditions)
        return Statement(query.query.name, sql, [*parameters({"as_of": self.spec.as_of}), *query.parameters])

    def snapshot(self, remaining: Span, fingerprint: str, without: str = "") -> Statement:
        """Return the statement that selects the rows of the snapshot with their vectors.

        Events that are rows of the table `without` are left out.
        """
        values = self._vector_parameters(remaining, fingerprint)
        near_duplicates = self.spec.split.near_duplicates
        name = "snapshot_pair" if self.spec.label.kind == "pair" else "snapshot"
        columns = [column.name for column in table("snapshot_v1").columns if column.name != "row_hash"]
        if self.features:
            values += [*parameters({"as_of": self.spec.as_of}), *features.bind(self.features)]
        names = {"features": self.features, "near_duplicates": near_duplicates, "columns": columns, "without": without}
        return Statement("snapshot", self.render(name, is_tied=remaining.is_tied, **names), values)

    def dropped_pairs(self, remaining: Span, fingerprint: str) -> Statement:
        """Return the statement that selects near duplicates again, which `snapshot` leaves out."""
        sql = self.render("dropped_pairs", is_tied=remaining.is_tied, without="")
        return Statement("dropped_pairs", sql, self._vector_parameters(remaining, fingerprint))

    def _vector_parameters(self, remaining: Span, fingerprint: str) -> list[Any]:
        """Return the parameters of a search for near duplicates, or of reading vectors alone if there is none."""
        values = [*self._delivery_parameters(remaining), *parameters({"fingerprint": fingerprint})]
        values += self.split_parameters
        if near_duplicates := self.spec.split.near_duplicates:
            values += parameters(search_values(near_duplicates.cosine, self.train_rows(remaining.examples)))
        return values

    def feature_problems(self) -> Statement:
        """Return the statement that counts how often each feature is missing, and why."""
        columns = self.features
        sql = self.render("feature_problems", features=columns, problems=tuple(features.PROBLEMS))
        return Statement("feature_problems", sql, [*parameters({"as_of": self.spec.as_of}), *features.bind(columns)])

    def train_rows(self, examples: int) -> int:
        """Return about how many of the remaining examples train has; all, if they are divided by time."""
        split = self.spec.split
        return round(examples * split.train) if isinstance(split, ByPerson) else examples

    def found(self, remaining: Span) -> Statement:
        """Return the statement that counts the remaining examples whose deliveries are still there."""
        return Statement("found", self.render("found"), self._delivery_parameters(remaining))

    def _delivery_parameters(self, remaining: Span) -> Parameters:
        start_at, end_at = remaining.first_at, remaining.last_at + timedelta(microseconds=1)
        return parameters(self.encoder_values | {"start_at": start_at, "end_at": end_at})

    def _inputs(self, query: CompiledQuery, columns: Sequence[str], table: str, *, if_read: bool = False) -> str:
        """Return the CTEs that a query reads: `event`, and the sources that it names, each as of the as-of.

        `event` is left out, `if_read` is set, where the query does not read it.
        """
        parts, names = [], sorted(query.validated.tables - {"event"})
        if "event" in query.validated.tables or query.at_event or not (if_read and names):
            selected = ",\n    ".join(f"work.{name}" for name in columns)
            parts.append(f"event AS (\n  SELECT\n    {selected}\n  FROM {table} AS work\n)")
        if names:
            parts.append(sources.render(self.sources, names, self.warehouse, query.at_event))
        return ",\n".join(parts)

    def _label_parameters(self) -> Parameters:
        label, as_of = self.spec.label, self.spec.as_of
        lowest, highest = label.range or (0.0, 0.0)
        values: dict[str, Any] = {name: line for line, name in enumerate(LABEL_LINES[label.kind])}
        values |= {"outside": OUTSIDE, "is_number": label.type == "number", "lowest": lowest, "highest": highest}
        values |= {"step": label.step or 1.0}
        values |= {"as_of": as_of, "mature_at": as_of - (label.maturity or timedelta(0))}
        if label.window:
            values["window_seconds"] = int(label.window.total_seconds())
        return parameters({**values, "classes": label.classes})


def compile_dataset(warehouse: Warehouse, dataset: Dataset, temporary_id: str | None = None) -> CompiledDataset:
    """Compile a dataset for a warehouse; reads nothing yet.

    Rows are written under the snapshot's id, or under `temporary_id`. Raises UserError for a label or rule that is not
    valid, and for arguments that do not match its parameters.
    """
    spec = dataset.spec
    label = _compile_query(dataset.label, spec.label.parameters, spec)
    if label.header.kind != spec.label.kind:
        raise UserError(
            f"{dataset.label.where} labels by {label.header.kind}, but the dataset's label has kind {spec.label.kind}."
        )
    _check_output(label, _LABEL_OUTPUT[spec.label.kind])
    rules = tuple(_compile_rule(query, rule, spec) for query, rule in zip(dataset.rules, spec.rules, strict=True))
    for rule in rules:
        _check_output(rule, _RULE_OUTPUT)
    return CompiledDataset(
        dataset,
        warehouse,
        label,
        rules,
        temporary_id or snapshot_id(spec, [query.identity for query in (label, *rules)]),
        cache(partial(features.look_up, warehouse, spec, _labelling(label, spec))),
        cache(partial(find_adapter, warehouse, spec)),
    )


def _labelling(label: CompiledQuery, spec: DatasetSpec) -> dict[str, set[str]]:
    """Return the columns, by source, that a parameter of the label names and whose texts are classes."""
    parameters = label.header.parameters.items() if spec.label.type == "class" else ()
    columns = {str(label.values[name]) for name, parameter in parameters if parameter.type == "column"}
    return dict.fromkeys(label.validated.tables - {"event"}, columns)


def _compile_rule(query: Query, rule: Rule, spec: DatasetSpec) -> CompiledQuery:
    """Compile a rule, which joins sources by person, or by event those that are cut at the event."""
    by_person = _compile_query(query, rule.parameters, spec, entity=PERSON)
    cuts = {source.name: rule.cut or source.cut for source in spec.sources if source.name in by_person.validated.tables}
    if unfit := sorted(set(cuts.values()) - set(by_person.header.cuts)):
        name = next(name for name, cut in sorted(cuts.items()) if cut == unfit[0])
        only = ", ".join(by_person.header.cuts)
        raise UserError(
            f"{query.where} reads {name}, which is cut at {unfit[0]}, but is written for the cut {only} only: set "
            f"another by {rule.name}: {{cut: {by_person.header.cuts[0]}}}, or declare cuts in the header of your rule."
        )
    at_event = frozenset(name for name, cut in cuts.items() if cut == "event")
    if not at_event:
        return by_person
    for name in at_event:
        if next(source for source in spec.sources if source.name == name).mutable:
            raise UserError(f"{query.where} reads {name} cut at the event, which needs known_at, but it is a copy.")
    by_event = _compile_query(query, rule.parameters, spec, entity=EVENT)
    if by_event.sql != by_person.sql and len(set(cuts.values())) > 1:
        raise UserError(
            f"{query.where} reads sources of both cuts, but joins all of them by one column: set one by {rule.name}: "
            "{cut: event} or {cut: as_of}."
        )
    for name in sorted(at_event):
        if {(name.lower(), PERSON), ("", PERSON)} & by_event.validated.columns_by_table:
            raise UserError(
                f"{query.where} reads {PERSON} of {name}, which is cut at the event and so has rows for each event: "
                f"join it by {EVENT}, and write the table before each {PERSON}."
            )
    return replace(by_event, at_event=at_event)


def _compile_query(
    query: Query, arguments: Mapping[str, Value], spec: DatasetSpec, *, entity: str | None = None
) -> CompiledQuery:
    """Compile a label or rule; `entity` is the column by which a rule joins sources."""
    header = parse_header(query)
    values = bind(query, header, arguments, spec.label.classes)
    source_names = [source.name for source in spec.sources]
    for name, parameter in header.parameters.items():
        if parameter.type == "source" and values[name] and values[name] not in source_names:
            declared = ", ".join(source_names) or "none"
            near = did_you_mean(str(values[name]), source_names)
            raise UserError(
                f"{query.where} reads {values[name]}{near}, but the sources are: {declared}. Declare it, or name "
                f"another by {name}."
            )
    try:
        sql = render_query(query.sql, {**values, ENTITY: entity} if entity else values)
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise UserError(
            f"{query.where} has Jinja that cannot be rendered ({type(error).__name__}): only names in "
            "{{ … }} and conditions are allowed; fix it."
        ) from None
    bound = {
        name
        for name, parameter in header.parameters.items()
        if parameter.type not in ("source", "column") and values[name] is not None
    }
    validated = validate_query(sql, tables={"event", *source_names}, parameters=RESERVED | bound, where=query.where)
    if unused := sorted(bound - validated.parameters):
        raise UserError(f"{query.where} has the parameter {unused[0]}, but its SQL does not use it; remove it.")
    _check_texts(query, header, validated, spec)
    return CompiledQuery(query, header, values, sql, validated)


def _check_texts(query: Query, header: Header, validated: ValidatedQuery, spec: DatasetSpec) -> None:
    """Raise UserError for a literal that is no class, no declared value and no constant: snapshots store the SQL."""
    lists = [values for source in spec.sources for values in source.values.values()]
    declared = {*spec.label.classes, *header.constants, *(value for values in lists for value in values)}
    for text in sorted(validated.texts - declared):
        problem = f"{query.where} contains the text {text[:_SHOWN]!r}, which is stored with the snapshot"
        try:
            check_constant(text)
        except ValueError as error:
            raise UserError(f"{problem}: {error}. Use a parameter or a source instead.") from None
        raise UserError(f"{problem}: declare it in the header, as in constants: [{text!r}].")


def _check_output(query: CompiledQuery, columns: Sequence[str]) -> None:
    """Raise UserError unless a query returns exactly these columns, in any order."""
    if set(query.validated.output) != set(columns):
        output = ", ".join(query.validated.output)
        raise UserError(f"{query.query.where} returns {output}, but must return {', '.join(columns)}.")

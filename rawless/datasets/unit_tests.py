"""Unit tests of a dataset's label and rules: made-up rows, and what becomes of them.

A query of made-up rows reads no table, so that any engine of GoogleSQL can run it: `Run` is all that is needed of one.
Two must agree: Google's own evaluator answers as BigQuery does, and the local BigQuery as builds on this machine do.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from google.cloud import bigquery
from pydantic import Field, model_validator

from rawless.config import FrozenModel, read_yaml
from rawless.datasets import given_rows, sources
from rawless.datasets.compile import (
    EVENT_COLUMNS,
    EXAMPLE_TYPES,
    LABEL_LINES,
    OUTSIDE,
    CompiledDataset,
    CompiledQuery,
    compile_dataset,
)
from rawless.datasets.dataset import Dataset, open_dataset
from rawless.datasets.rendering import render_template
from rawless.datasets.sources import PERSON, SourceTable
from rawless.datasets.spec import Column, Name, Source, Time
from rawless.datasets.working_columns import COLUMNS
from rawless.errors import RawlessError, UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import Parameters, parameters

Run = Callable[[str, Parameters], list[dict[str, Any]]]
"""Runs a SELECT that reads no table and returns its rows. Raises UserError when the engine refuses it."""
Rows = list[dict[str, Any]]
Example = str | tuple[str, str]
"""An event's id, a pair of them, or for a label of kind subject the person."""
_BEFORE = timedelta(days=1)
"""How long before the as-of an event occurred whose test does not say when."""
_IDENTITIES = ("customer_id", "subject_key")
OUTSIDE_LINE = "outside"
"""Names labels outside of classes or range: they are no line of the ledger, because they fail a build."""
Type = Annotated[str, Field(pattern=r"^(STRING|INT64|FLOAT64|NUMERIC|BIGNUMERIC|BOOL|TIMESTAMP|DATE|DATETIME|TIME)$")]


class GivenEvent(FrozenModel):
    """An event as label and rules see it. The label's fields are for the test of a rule."""

    event_id: str
    example_id: str | None = None
    """For the test of a rule: the example that the event belongs to, by default one of its own."""
    person_key: str | None = None
    occurred_at: Time | None = None
    """By default one day before the as-of."""
    logged_at: Time | None = None
    """By default when the event occurred."""
    attributes: dict[str, str] = Field(default_factory=dict)
    label: str | None = None
    label_value: float | None = None
    labelled_at: Time | None = None


class Given(FrozenModel):
    """The rows of a test: events, and rows of sources with persons in place of customers."""

    events: tuple[GivenEvent, ...]
    sources: dict[Name, tuple[dict[Column, Any], ...]] = Field(default_factory=dict)


class Expected(FrozenModel):
    """What becomes of the examples. Each list that is given is complete."""

    kept: tuple[Example, ...] | None = None
    removed: dict[Name, tuple[Example, ...]] | None = None
    """By the line of the ledger."""
    labels: dict[str, str | float] | None = None
    """Of the kept examples, by event or person."""

    @model_validator(mode="after")
    def _says_something(self) -> "Expected":
        if self.kept is None and self.removed is None and self.labels is None:
            raise ValueError("a test expects kept, removed or labels")
        return self


class UnitTest(FrozenModel):
    """One test: of the label and all rules like a build, of the label alone, or of one rule alone."""

    name: str = Field(min_length=1, max_length=200)
    label: Name | None = None
    rule: Name | None = None
    as_of: Time | None = None
    """By default that of the dataset."""
    given: Given
    expect: Expected

    @model_validator(mode="after")
    def _of_one_query(self) -> "UnitTest":
        if self.label and self.rule:
            raise ValueError("a test is of a label, of a rule, or of all that the dataset names, if it names neither")
        labelled = [event.event_id for event in self.given.events if event.label or event.label_value is not None]
        if labelled and not self.rule:
            raise ValueError("events with labels are for the test of a rule; otherwise the label's query labels them")
        return self


class UnitTestFile(FrozenModel):
    """A file of unit tests for one dataset."""

    dataset: str
    """The dataset file, relative to this one."""
    types: dict[Name, dict[Column, Type]] = Field(default_factory=dict)
    """Types of sources' columns that do not follow from the values, such as NUMERIC."""
    unit_tests: tuple[UnitTest, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Difference:
    """What a test expects of an example, and what became of it instead."""

    example: str
    expected: str
    actual: str


@dataclass(frozen=True)
class Outcome:
    """The outcome of a test: it passed if there are neither differences nor an error."""

    file: Path
    name: str
    differences: tuple[Difference, ...] = ()
    error: str = ""
    """Why it could not be run, or what the engines do not agree on."""
    is_compared: bool = False
    """Whether Google's evaluator ran it, too."""

    @property
    def passed(self) -> bool:
        """Return whether all is as expected."""
        return not self.differences and not self.error


@dataclass(frozen=True)
class _Case:
    """A test that is ready to be run."""

    file: Path
    test: UnitTest
    compiled: CompiledDataset
    tables: Mapping[str, SourceTable]
    run: Run


@dataclass(frozen=True)
class _Answer:
    """What an engine made of a test: rows, or why it refused the SQL."""

    rows: Rows = field(default_factory=list)
    refusal: str = ""


class NoAnswer(Exception):
    """An engine failed, which says nothing about the SQL."""


def google(on_wait: Callable[[], None]) -> Run | None:
    """Return Google's evaluator, None where it is not installed; `on_wait` is called if it has to be compiled first."""
    if not find_spec("zetasql"):
        return None
    from rawless.datasets.googlesql import Failed, Refused, load

    def run(sql: str, values: Parameters) -> Rows:
        try:
            # Not kept here: at the end of the interpreter wasmtime could not free it without a traceback.
            return load(on_wait).rows(sql, values)
        except Refused as refused:
            raise UserError(str(refused)) from None
        except Failed:
            raise NoAnswer from None

    return run


def find(path: Path) -> list[Path]:
    """Return a file of unit tests, or those in a folder. Raises UserError when there is none."""
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    if not files:
        raise UserError(f"The folder {path} has no unit tests: add NAME.yaml with dataset: and unit_tests:.")
    return files


def run_file(file: Path, warehouse: Warehouse, run: Run, compared_run: Run | None = None) -> Iterator[Outcome]:
    """Run the tests of a file and yield their outcomes; `warehouse` only fills in names. Raises UserError.

    A test fails if `compared_run`, Google's evaluator, answers otherwise.
    """
    tests = read_yaml(file, UnitTestFile, what="file of unit tests")
    dataset = open_dataset(file.parent / tests.dataset)
    tables = _tables(file, tests, dataset)

    @cache
    def compiled(as_of: Time) -> CompiledDataset:
        spec = dataset.spec.model_copy(update={"as_of": as_of})
        made = compile_dataset(warehouse, dataset.model_copy(update={"spec": spec}))
        return replace(made, look_up_sources=lambda: tables)

    for test in tests.unit_tests:
        _check_names(file, test, dataset)
        case = _Case(file, test, compiled(test.as_of or dataset.spec.as_of), tables, run)
        yield _outcome(case, compared_run)


def _outcome(case: _Case, compared_run: Run | None) -> Outcome:
    made, answer = Outcome(case.file, case.test.name), _answer(case)
    if compared_run:
        with suppress(NoAnswer):
            other = _answer(replace(case, run=compared_run))
            made = replace(made, is_compared=True, error=_disagreement(case, answer, other))
    if made.error or answer.refusal:
        return replace(made, error=made.error or answer.refusal)
    return replace(made, differences=tuple(_compare(case, answer.rows)))


def _answer(case: _Case) -> _Answer:
    try:
        return _Answer(_examples(case))
    except RawlessError as error:
        return _Answer(refusal=str(error))


def _disagreement(case: _Case, local: _Answer, on_google: _Answer) -> str:
    """Return in a sentence what the engines do not agree on, nothing if they agree."""
    if local.refusal and on_google.refusal:
        return ""
    if on_google.refusal:
        return f"The local BigQuery runs this SQL, but Google's evaluator refuses it: {on_google.refusal}"
    if local.refusal:
        return f"Google's evaluator runs this SQL, but the local BigQuery refuses it: {local.refusal}"
    ours, theirs = _by_name(case, local.rows), _by_name(case, on_google.rows)
    for name in sorted({_shown(name) for name, _ in (*ours, *theirs)}):
        if (mine := _state(ours, name)) != (other := _state(theirs, name)):
            return (
                f"The engines differ about {name}: the local BigQuery says {mine}, Google's evaluator, like BigQuery, "
                f"says {other}; change the SQL so that both agree."
            )
    return ""


def _tables(file: Path, tests: UnitTestFile, dataset: Dataset) -> dict[str, SourceTable]:
    """Return the sources, with the columns that any test of the file gives them."""
    declared = {source.name: source for source in dataset.spec.sources}
    given: dict[str, list[Mapping[str, Any]]] = {name: [] for name in declared}
    for test in tests.unit_tests:
        for name, rows in test.given.sources.items():
            if name not in declared:
                raise UserError(
                    f"{file}: the test {test.name!r} gives rows of {name}, but the dataset's sources are: "
                    f"{', '.join(declared) or 'none'}."
                )
            given[name] += rows
    if unknown := sorted(set(tests.types) - set(declared)):
        raise UserError(f"{file}: types names {unknown[0]}, but the dataset's sources are: {', '.join(declared)}.")
    return {name: _table(file, declared[name], rows, tests.types.get(name, {})) for name, rows in given.items()}


def _table(file: Path, source: Source, rows: list[Mapping[str, Any]], types: Mapping[str, str]) -> SourceTable:
    where = f"{file}: the source {source.name}"
    columns = dict.fromkeys([*types, *(column for row in rows for column in row)])
    for column in columns:
        if column == source.customer or column in _IDENTITIES:
            raise UserError(f"{where} has {column}, but SQL sees persons in its place: give {PERSON}.")
    inferred = {
        column: types.get(column) or given_rows.type_of(column, (row.get(column) for row in rows), where)
        for column in columns
    }
    if source.known_at:
        inferred[source.known_at] = "TIMESTAMP"
    fields = tuple(bigquery.SchemaField(column, kind) for column, kind in inferred.items())
    return SourceTable(source, f"given_{source.name}", fields, inferred, tuple(inferred))


def _check_names(file: Path, test: UnitTest, dataset: Dataset) -> None:
    """Raise UserError for a label or rule that the dataset does not have, and for an expected line that it lacks."""
    spec, where = dataset.spec, f"{file}: the test {test.name!r}"
    rules = [rule.name for rule in spec.rules]
    if test.label and test.label != spec.label.query:
        raise UserError(f"{where} is of the label {test.label}, but the dataset's label is {spec.label.query}.")
    if test.rule and test.rule not in rules:
        raise UserError(f"{where} is of the rule {test.rule}, but the dataset's rules are: {', '.join(rules)}.")
    lines = [*LABEL_LINES[spec.label.kind].values(), OUTSIDE_LINE, *rules]
    if unknown := [line for line in test.expect.removed or () if line not in lines]:
        raise UserError(f"{where} expects removal by {unknown[0]}, but the ledger has: {', '.join(lines)}.")


def _examples(case: _Case) -> Rows:
    """Return a row for each event of each example, with the line that removed it, None if it was kept."""
    test, compiled = case.test, case.compiled
    given = [_event(event, compiled) for event in test.given.events]
    rows = [{**row, "removed_by": None} for row in given] if test.rule else _labelled(case, given)
    for rule in compiled.rules if not test.label else ():
        if test.rule in (None, rule.query.name):
            removed = _removed(case, rule, [row for row in rows if row["removed_by"] is None])
            rows = [{**row, "removed_by": rule.query.name} if row["example_id"] in removed else row for row in rows]
    return rows


def _event(event: GivenEvent, compiled: CompiledDataset) -> dict[str, Any]:
    row = event.model_dump()
    row["example_id"] = event.example_id or event.event_id
    row["occurred_at"] = event.occurred_at or compiled.spec.as_of - _BEFORE
    row["logged_at"] = event.logged_at or row["occurred_at"]
    row["attributes"] = [{"key": key, "value": value} for key, value in event.attributes.items()]
    return row


def _labelled(case: _Case, events: Rows) -> Rows:
    compiled = case.compiled
    kind, statement = compiled.spec.label.kind, compiled.labelled()
    inputs = _inputs(case, compiled.label, events, EVENT_COLUMNS)
    unknown = [
        f"CAST(NULL AS {kind}) AS {name}" for name, kind in COLUMNS["event"].items() if name not in EVENT_COLUMNS
    ]
    selected = ", ".join([*(f"event.{name}" for name in EVENT_COLUMNS), *unknown])
    inputs += f",\nknown_event AS (\n  SELECT {selected}\n  FROM event\n)"  # noqa: S608
    sql = render_template(compiled.warehouse, f"labelled_{kind}", inputs=inputs, query=compiled.label.sql)
    lines: dict[int | None, str | None] = {None: None, OUTSIDE: OUTSIDE_LINE}
    lines |= dict(enumerate(LABEL_LINES[kind].values()))
    return [
        {**row, "example_id": row["example_id"] or row["event_id"], "removed_by": lines[row["removed_by"]]}
        for row in case.run(sql, statement.parameters)
    ]


def _removed(case: _Case, rule: CompiledQuery, rows: Rows) -> set[str]:
    """Return the examples that a rule removes from those that are left."""
    warehouse, values = case.compiled.warehouse, parameters({"as_of": case.compiled.spec.as_of})
    inputs = _inputs(case, rule, rows, tuple(EXAMPLE_TYPES))
    names = {"inputs": inputs, "query": rule.sql, "without_subject": rule.header.without_subject}
    sql = render_template(warehouse, "removed_by_rule", **names)
    return {row["example_id"] for row in case.run(sql, [*values, *rule.parameters])}


def _inputs(case: _Case, query: CompiledQuery, events: Rows, columns: Sequence[str]) -> str:
    """Return the CTEs that a query reads: `event`, and the sources that it names, each as of the as-of."""
    names = sorted(query.validated.tables - {"event"})
    ctes = [given_rows.render("event", {name: EXAMPLE_TYPES[name] for name in columns}, events)]
    for name in names:
        table = case.tables[name]
        known = {table.source.known_at: case.compiled.spec.as_of} if table.source.known_at else {}
        rows = [{**known, **row} for row in case.test.given.sources.get(name, ())]
        ctes.append(given_rows.render(table.table_id, table.types, rows))
    return ",\n".join([*ctes, *([sources.render(case.tables, names, case.compiled.warehouse)] if names else [])])


def _compare(case: _Case, rows: Rows) -> Iterator[Difference]:
    expected = case.test.expect
    examples = _by_name(case, rows)
    kept = Counter(name for name, row in examples if row["removed_by"] is None)
    if expected.kept is not None:
        yield from _differences(examples, Counter(expected.kept), kept, "kept")
    if expected.removed is not None:
        lines = {str(row["removed_by"]) for _, row in examples if row["removed_by"]}
        for line in sorted(lines | set(expected.removed)):
            removed = Counter(name for name, row in examples if row["removed_by"] == line)
            yield from _differences(examples, Counter(expected.removed.get(line, ())), removed, f"removed by {line}")
    if expected.labels is not None:
        labels = {_shown(name): _label(row) for name, row in examples if row["removed_by"] is None}
        for name in sorted(expected.labels.keys() | labels.keys()):
            if expected.labels.get(name) != labels.get(name):
                wanted = f"label {expected.labels[name]}" if name in expected.labels else "not kept"
                yield Difference(name, wanted, _state(examples, name))


def _by_name(case: _Case, rows: Rows) -> list[tuple[Example, dict[str, Any]]]:
    """Return one row of each example with its name."""
    kind = case.compiled.spec.label.kind
    if case.test.rule:
        return list({row["example_id"]: row for row in rows}.items())
    if kind != "pair":
        return [(row["event_id" if kind == "event" else "person_key"], row) for row in rows]
    rights = {row["example_id"]: row["event_id"] for row in rows if row["side"] == "right"}
    return [((row["event_id"], rights[row["example_id"]]), row) for row in rows if row["side"] == "left"]


def _differences(
    examples: list[tuple[Example, dict[str, Any]]], expected: Counter[Example], actual: Counter[Example], state: str
) -> Iterator[Difference]:
    for name in sorted((expected - actual).keys() | (actual - expected).keys(), key=_shown):
        wanted = state if expected[name] > actual[name] else f"not {state}"
        yield Difference(_shown(name), wanted, _state(examples, _shown(name)))


def _state(examples: list[tuple[Example, dict[str, Any]]], shown: str) -> str:
    states = sorted(
        f"removed by {row['removed_by']}" if row["removed_by"] else _kept(row)
        for name, row in examples
        if _shown(name) == shown
    )
    return "; ".join(states) or "no example"


def _kept(row: Mapping[str, Any]) -> str:
    label = _label(row)
    return "kept" if label is None else f"kept, label {label}"


def _label(row: Mapping[str, Any]) -> str | float | None:
    if row["label"] is not None or row["label_value"] is None:
        label: str | None = row["label"]
        return label
    return float(row["label_value"])


def _shown(name: Example) -> str:
    return name if isinstance(name, str) else f"[{', '.join(name)}]"

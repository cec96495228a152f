"""Check labels and rules, a user's own as BigQuery would, before a build writes anything.

The local BigQuery runs SQL that BigQuery refuses, such as the comparison of a TIMESTAMP with a DATE.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec

from google.cloud.bigquery import ScalarQueryParameter

from rawless.datasets.compile import EVENT_TYPES, EXAMPLE_TYPES, CompiledDataset, CompiledQuery, Statement
from rawless.datasets.query_policy.check_columns import UnknownColumn, unknown_column
from rawless.datasets.query_policy.check_types import check_types
from rawless.datasets.query_policy.lexical_check import abbreviate
from rawless.datasets.sources import EVENT, KNOWN_AT, PERSON, SourceTable
from rawless.errors import UserError
from rawless.similar_names import did_you_mean
from rawless.warehouse.tables import table

_PLACE = re.compile(r",? ?(?:at )?\[(?:at )?(\d+):(\d+)\]")
_SUGGESTION = re.compile(r"; Did you mean (\S+?)\?")
_SUBJECT_MAP, EVENTS = "subject_map_v1", "event"


def check(compiled: CompiledDataset, on_wait: Callable[[], None] = lambda: None) -> None:
    """Raise UserError for a label or rule that BigQuery refuses; no row is read.

    Of all of them the columns are compared with those of their tables: a built-in one reads tables of the user's, too.
    The user's own are then refused in the words of BigQuery: on Google Cloud a dry run tells. Elsewhere Google's
    analyzer does where it is installed, and `on_wait` is called if it has to be compiled first; without it a check of
    names and types finds the most frequent mistakes.
    """
    for query in compiled.queries:
        _check_columns(compiled, query)
        if not query.query.is_built_in:
            _check(compiled, query, on_wait)


def _check_columns(compiled: CompiledDataset, query: CompiledQuery) -> None:
    tables = _tables(compiled, query)
    if (unknown := unknown_column(query.sql, tables)) is None:
        return
    name = abbreviate(unknown.column)
    known = next(types for table, types in tables.items() if table.lower() == unknown.table.lower())
    place = "" if query.query.is_built_in else _place_in_file(query, unknown.line - 1, unknown.position)
    raise UserError(
        f"{query.query.where} reads {name} of {unknown.table}{place}, which has no such column"
        f"{did_you_mean(unknown.column, known)}: it has {', '.join(known)}. {_advice(query, unknown)}"
    )


def _advice(query: CompiledQuery, unknown: UnknownColumn) -> str:
    if unknown.column.lower() == PERSON and unknown.table.lower() != EVENTS:
        return (
            f"{PERSON} stands for a customer: name the column of customers by customer in the source, or load the "
            "table with --pseudonymise."
        )
    if unknown.column.lower() == KNOWN_AT:
        return "A source with known_at has it."
    return "Name another table or column." if query.query.is_built_in else "Correct it."


def _tables(compiled: CompiledDataset, query: CompiledQuery) -> dict[str, dict[str, str]]:
    """Return the types of the columns that a query sees, by table."""
    tables = {name: _visible(compiled.sources[name], query) for name in query.validated.tables - {EVENTS}}
    return tables | {EVENTS: EVENT_TYPES if query is compiled.label else EXAMPLE_TYPES}


def _visible(source: SourceTable, query: CompiledQuery) -> dict[str, str]:
    """Return the columns of a source; cut at the event, it has the event in place of the person."""
    types = source.visible_types
    if source.source.name not in query.at_event:
        return types
    return {name: kind for name, kind in types.items() if name != PERSON} | {EVENT: "STRING"}


def _check(compiled: CompiledDataset, query: CompiledQuery, on_wait: Callable[[], None]) -> None:
    trial = compiled.trial(query)
    if compiled.warehouse.emulator is None:
        refusal = _refusal_of_dry_run(compiled, trial)
    elif find_spec("zetasql"):
        refusal = _refusal_of_analyzer(compiled, query, trial, on_wait)
    else:
        # BigQuery reads a time from the text of a parameter.
        scalars = [each for each in trial.parameters if isinstance(each, ScalarQueryParameter)]
        types = {str(each.name).lower(): str(each.type_) for each in scalars if each.type_ != "STRING"}
        check_types(query.sql, _tables(compiled, query), types, where=query.query.where)
        return
    if refusal:
        place = _PLACE.search(refusal)
        words = _SUGGESTION.sub(r" (did you mean \1?)", _PLACE.sub("", refusal)).rstrip(". ")
        at = _locate(query, trial, int(place[1]), int(place[2])) if place else ""
        raise UserError(f"{query.query.where} is refused by BigQuery{at}: {words}; correct it.")


def _refusal_of_dry_run(compiled: CompiledDataset, trial: Statement) -> str | None:
    try:
        compiled.warehouse.dry_run(trial.sql, trial.parameters)
    except UserError as error:
        return str(error).removeprefix("BigQuery refused the query: ")
    return None


def _refusal_of_analyzer(
    compiled: CompiledDataset, query: CompiledQuery, trial: Statement, on_wait: Callable[[], None]
) -> str | None:
    from rawless.datasets.googlesql import Failed, Refused, Typed, load

    warehouse = compiled.warehouse
    read = [compiled.sources[name] for name in query.validated.tables - {EVENTS}]
    fields = {each.table_id: each.fields for each in read}
    fields[f"{warehouse.dataset_id('subjects')}.{_SUBJECT_MAP}"] = tuple(
        column.to_bigquery() for column in table(_SUBJECT_MAP).columns
    )
    parameters = {str(each.name): each.to_api_repr()["parameterType"] for each in trial.parameters}
    tables = {name: [field.to_api_repr() for field in each] for name, each in fields.items()}
    try:
        with suppress(Failed):
            load(on_wait).analyze(Typed(trial.sql, parameters, tables))
    except Refused as refused:
        return str(refused)
    return None


def _locate(query: CompiledQuery, trial: Statement, line: int, column: int) -> str:
    """Return where in the user's file a place of a statement is."""
    start = trial.sql[: trial.sql.index(query.sql)].count("\n") + 1
    position = line - start
    if not 0 <= position <= query.sql.count("\n"):
        return " for the columns that it returns"
    if "{%" in query.query.sql:  # which leaves out lines
        text = query.sql.split("\n")[position].strip()
        return f" where it has {text!r}"
    return _place_in_file(query, position, column)


def _place_in_file(query: CompiledQuery, position: int, column: int) -> str:
    """Return a place in the user's file, given from 0 as a line of the query; Jinja may have left out lines."""
    if "{%" in query.query.sql:
        return f" in {query.query.file}"
    return f" in line {query.query.first_line + position}, column {column} of {query.query.file}"

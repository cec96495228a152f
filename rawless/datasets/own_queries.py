"""Check a user's own labels and rules as BigQuery would, before a build writes anything.

The local BigQuery runs SQL that BigQuery refuses, such as the comparison of a TIMESTAMP with a DATE.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec

from google.cloud.bigquery import ScalarQueryParameter

from rawless.datasets.compile import EVENT_TYPES, EXAMPLE_TYPES, CompiledDataset, CompiledQuery, Statement
from rawless.datasets.query_policy.check_types import check_types
from rawless.errors import UserError
from rawless.warehouse.tables import table

_PLACE = re.compile(r",? ?(?:at )?\[(?:at )?(\d+):(\d+)\]")
_SUBJECT_MAP = "subject_map_v1"


def check(compiled: CompiledDataset, on_wait: Callable[[], None] = lambda: None) -> None:
    """Raise UserError for a label or rule of the user that BigQuery refuses, in its words; no row is read.

    On Google Cloud a dry run tells. Elsewhere Google's analyzer does where it is installed, and `on_wait` is called if
    it has to be compiled first; without it a check of names and types finds the most frequent mistakes.
    """
    for query in compiled.queries:
        if not query.query.is_built_in:
            _check(compiled, query, on_wait)


def _check(compiled: CompiledDataset, query: CompiledQuery, on_wait: Callable[[], None]) -> None:
    trial = compiled.trial(query)
    if compiled.warehouse.emulator is None:
        refusal = _refusal_of_dry_run(compiled, trial)
    elif find_spec("zetasql"):
        refusal = _refusal_of_analyzer(compiled, query, trial, on_wait)
    else:
        tables = {name: compiled.sources[name].visible_types for name in query.validated.tables - {"event"}}
        tables["event"] = EVENT_TYPES if query is compiled.label else EXAMPLE_TYPES
        # BigQuery reads a time from the text of a parameter.
        scalars = [each for each in trial.parameters if isinstance(each, ScalarQueryParameter)]
        types = {str(each.name).lower(): str(each.type_) for each in scalars if each.type_ != "STRING"}
        check_types(query.sql, tables, types, where=query.query.where)
        return
    if refusal:
        place = _PLACE.search(refusal)
        words = _PLACE.sub("", refusal).rstrip(". ")
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
    read = [compiled.sources[name] for name in query.validated.tables - {"event"}]
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
    return f" in line {query.query.first_line + position}, column {column} of {query.query.file}"

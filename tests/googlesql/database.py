"""A small BigQuery in memory: its tables, views and functions, and statements that Google's evaluator runs on them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zetasql.wasi._pb2.zetasql.public import type_pb2

from rawless.datasets.googlesql import Field, type_of_field
from tests.googlesql.analyzer import Refused
from tests.googlesql.changes import POSITION, changes
from tests.googlesql.evaluator import Catalogue, Evaluator, Relation, Row, TableFunction
from tests.googlesql.partition_filter import unfiltered
from tests.googlesql.syntax import Source, identifier, kind_of
from tests.googlesql.values import decode, encode, field_of_type, is_null

Parameters = Sequence[Mapping[str, Any]]
_POSITION: Field = {"name": POSITION, "type": "INT64"}
_POSITION_TYPE = type_of_field(_POSITION)


class Missing(Exception):
    """A table, dataset or function does not exist."""


class Exists(Exception):
    """A table is to be created that exists."""


@dataclass
class Table:
    """A table or view: its resource as in BigQuery's API, and its rows, or the query of a view."""

    resource: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    view: str | None = None
    default: str | None = None

    @property
    def fields(self) -> list[Field]:
        """Return the columns."""
        fields: list[Field] = self.resource["schema"]["fields"]
        return fields


@dataclass(frozen=True)
class Answer:
    """What a statement returns: rows, or how many it changed."""

    kind: str
    fields: Sequence[Field] = ()
    rows: Sequence[Row] | None = None
    changed: int | None = None


@dataclass(frozen=True)
class _Context:
    """A statement with what it can name."""

    source: Source
    catalogue: Catalogue
    default: str | None
    """Project and dataset of unqualified names."""


class Database:
    """Tables and functions by project, dataset and name, and the statements that are run on them."""

    def __init__(self) -> None:
        self.evaluator = Evaluator()
        self.tables: dict[str, Table] = {}
        self.functions: dict[str, TableFunction] = {}

    def keep(self, table_ids: set[str]) -> None:
        """Delete all rows, and all tables but some."""
        self.tables = {table_id: self.tables[table_id] for table_id in table_ids}
        for table in self.tables.values():
            self._replace(table, [])

    def create(self, table_id: str, resource: dict[str, Any]) -> Table:
        """Create a table. Raises Exists."""
        if table_id in self.tables:
            raise Exists(table_id)
        resource.setdefault("schema", {}).setdefault("fields", [])
        now = str(int(time.time() * 1000))
        made = Table({**resource, "type": "TABLE", "creationTime": now, "lastModifiedTime": now})
        self.tables[table_id] = made
        return made

    def find(self, table_id: str) -> Table:
        """Return a table. Raises Missing."""
        if table_id not in self.tables:
            raise Missing(f"Not found: Table {table_id}")
        return self.tables[table_id]

    def drop(self, table_id: str) -> None:
        """Delete a table with its rows. Raises Missing."""
        self.find(table_id)
        del self.tables[table_id]

    def append(self, table_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows of values of Python. Raises Missing, and Refused for a NULL in a required column."""
        table = self.find(table_id)
        types = [(each["name"], type_of_field(each)) for each in table.fields]
        self._store(table, [[encode(kind, row.get(name)) for name, kind in types] for row in rows])

    def read(self, table_id: str, columns: Sequence[str], restriction: str) -> list[dict[str, Any]]:
        """Return columns of the rows for which a restriction is true, as values of Python."""
        where = f" WHERE {restriction}" if restriction else ""
        answer = self.execute(f"SELECT {', '.join(columns)} FROM `{table_id}`{where}")
        return self.values(answer)

    def values(self, answer: Answer | Table) -> list[dict[str, Any]]:
        """Return rows as values of Python."""
        types = [(each["name"], type_of_field(each)) for each in answer.fields]
        return [
            {name: decode(kind, cell) for (name, kind), cell in zip(types, row, strict=True)}
            for row in answer.rows or ()
        ]

    def execute(self, sql: str, parameters: Parameters = (), default: str | None = None) -> Answer:
        """Run a statement. Raises Refused, Missing and Exists."""
        context = self._context(sql, parameters, default)
        kind = kind_of(context.source.statement)
        run = {
            "query": self._select,
            **dict.fromkeys(("insert", "update", "delete", "merge"), self._change),
            "create_table": self._create_table,
            "create_view": self._create_view,
            "create_table_function": self._create_function,
            "drop": self._drop,
        }.get(kind)
        if run is None:
            raise Refused(f"The stand-in for BigQuery runs no {kind} statement")
        self._check_partitions(context)
        return run(context, context.source.statement)

    def dry_run(self, sql: str, parameters: Parameters = (), default: str | None = None) -> Answer:
        """Return the columns of a statement without running it. Raises Refused and Missing."""
        context = self._context(sql, parameters, default)
        self._check_partitions(context)
        resolved = self.evaluator.resolve(sql, context.catalogue)
        columns = resolved.resolved_query_stmt_node.output_column_list
        fields = [field_of_type(each.name, each.column.type) for each in columns]
        return Answer(kind_of(context.source.statement), fields)

    def _context(self, sql: str, parameters: Parameters, default: str | None) -> _Context:
        """Return a statement with what it can name. Raises Refused and Missing."""
        source = Source(sql, self.evaluator.parse(sql))
        functions = {name: function for name, function in self.functions.items() if name in sql}
        statements = (sql, *(function.query for function in functions.values()))
        names = set().union(*map(self.evaluator.table_names, statements))
        target = identifier(source.statement.target_path) if hasattr(source.statement, "target_path") else None
        tables = {name: self._relation(_absolute(name, default), is_target=name == target) for name in names}
        return _Context(source, Catalogue(tables, functions, parameters), default)

    def _relation(self, table_id: str, *, is_target: bool) -> Relation:
        table = self.find(table_id)
        if is_target:
            rows = [[*row, encode(_POSITION_TYPE, position)] for position, row in enumerate(table.rows)]
            return Relation([*table.fields, _POSITION], rows)
        if table.view is not None:
            answer = self.execute(table.view, default=table.default)
            return Relation(list(answer.fields), list(answer.rows or ()))
        return Relation(table.fields, table.rows)

    def _check_partitions(self, context: _Context) -> None:
        """Raise Refused when a table is read without a filter on its partitions that the table requires."""
        required = {}
        for name in self.evaluator.table_names(context.source.sql):
            resource = self.find(_absolute(name, context.default)).resource
            if resource.get("requirePartitionFilter"):
                required[name.lower()] = resource["timePartitioning"]["field"]
        if required:
            for name in unfiltered(self.evaluator.resolve(context.source.sql, context.catalogue), required):
                raise Refused(
                    f"Cannot query over table '{name}' without a filter over column(s) '{required[name]}' that can be "
                    "used for partition elimination"
                )

    def _select(self, context: _Context, statement: Any) -> Answer:
        relation = self.evaluator.query(context.source.sql, context.catalogue)
        return Answer("SELECT", relation.fields, relation.rows)

    def _change(self, context: _Context, statement: Any) -> Answer:
        """Run a statement that changes the rows of a table, by queries for what it changes."""
        self.evaluator.resolve(context.source.sql, context.catalogue)  # refuses what BigQuery refuses
        table = self.find(_absolute(identifier(statement.target_path), context.default))
        names = [each["name"] for each in table.fields]
        nothing = {each["name"]: encode(type_of_field(each), None) for each in table.fields}
        changed: dict[int, Row | None] = {}
        inserted: list[Row] = []
        for change in changes(context.source, names):
            for row in self.evaluator.query(change.sql, context.catalogue).rows:
                if change.action == "INSERT":
                    inserted.append(list((nothing | dict(zip(change.columns, row, strict=True))).values()))
                elif row[-1].int64_value in changed:
                    raise Refused("UPDATE/MERGE must match at most one source row for each target row")
                else:
                    changed[row[-1].int64_value] = row[:-1] if change.action == "UPDATE" else None
        kept = [changed.get(position, row) for position, row in enumerate(table.rows)]
        self._replace(table, [row for row in kept if row is not None] + inserted)
        return Answer(kind_of(statement).upper(), changed=len(changed) + len(inserted))

    def _create_table(self, context: _Context, statement: Any) -> Answer:
        create = statement.parent.parent
        table_id = _absolute(identifier(statement.parent.name), context.default)
        if table_id in self.tables and create.is_if_not_exists:
            return Answer("CREATE_TABLE_AS_SELECT")
        if not statement.HasField("query"):
            raise Refused("The stand-in for BigQuery creates tables by CREATE TABLE AS or through the API")
        self.evaluator.resolve(context.source.sql, context.catalogue)  # refuses what BigQuery refuses
        relation = self.evaluator.query(context.source.text(statement.query), context.catalogue)
        if create.is_or_replace:
            self.tables.pop(table_id, None)
        resource = {"schema": {"fields": relation.fields}, **self._options(context, statement.parent.options_list)}
        if statement.HasField("cluster_by"):
            keys = [context.source.text(each) for each in statement.cluster_by.clustering_expressions]
            resource["clustering"] = {"fields": keys}
        if statement.HasField("partition_by"):
            (key,) = statement.partition_by.partitioning_expressions
            column = context.source.text(key).removeprefix("DATE(").removesuffix(")")
            resource["timePartitioning"] = {"type": "DAY", "field": column}
        self._replace(self.create(table_id, resource), relation.rows)
        return Answer("CREATE_TABLE_AS_SELECT")

    def _options(self, context: _Context, options: Any) -> dict[str, Any]:
        """Return the options of a CREATE as fields of the table's resource."""
        resource: dict[str, Any] = {}
        for entry in options.options_entries:
            value = context.source.text(entry.value)
            if entry.name.id_string == "labels":
                value = f"CAST({value} AS ARRAY<STRUCT<key STRING, value STRING>>)"
            relation = self.evaluator.query(f"SELECT {value} AS value", context.catalogue)
            (row,) = self.values(Answer("SELECT", relation.fields, relation.rows))
            name, value = entry.name.id_string, row["value"]
            if name == "labels":
                resource["labels"] = dict(each.values() for each in value)
            elif name == "expiration_timestamp":
                resource["expirationTime"] = str(int(value.timestamp() * 1000))
            elif name == "require_partition_filter":
                resource["requirePartitionFilter"] = value
            else:
                resource[name] = value
        return resource

    def _create_view(self, context: _Context, statement: Any) -> Answer:
        base = statement.parent
        table_id = _absolute(identifier(base.name), context.default)
        query = context.source.text(base.query)
        if base.parent.is_or_replace:
            self.tables.pop(table_id, None)
        fields = self.dry_run(query, default=context.default).fields
        made = self.create(table_id, {"schema": {"fields": list(fields)}, "view": {"query": query}})
        made.resource["type"], made.view, made.default = "VIEW", query, context.default
        return Answer("CREATE_VIEW")

    def _create_function(self, context: _Context, statement: Any) -> Answer:
        self.evaluator.resolve(context.source.sql, context.catalogue)
        declared = statement.parent.function_declaration
        arguments = {
            each.name.id_string: context.source.text(each.type).upper()
            for each in declared.parameters.parameter_entries
        }
        query = context.source.text(statement.query)
        self.functions[_absolute(identifier(declared.name), context.default)] = TableFunction(arguments, query)
        return Answer("CREATE_TABLE_FUNCTION")

    def _drop(self, context: _Context, statement: Any) -> Answer:
        table_id = _absolute(identifier(statement.name), context.default)
        if table_id in self.tables or not statement.is_if_exists:
            self.drop(table_id)
        return Answer("DROP_TABLE")

    def _store(self, table: Table, rows: list[Row]) -> None:
        self._replace(table, table.rows + rows)

    def _replace(self, table: Table, rows: list[Row]) -> None:
        """Set the rows of a table. Raises Refused for a NULL in a required column."""
        types = [type_of_field(each) for each in table.fields]
        for position, (each, kind) in enumerate(zip(table.fields, types, strict=True)):
            if each.get("mode") == "REQUIRED" and any(is_null(kind, row[position]) for row in rows):
                raise Refused(f"Required field {each['name']} cannot be null")
            if kind.type_kind == type_pb2.TYPE_ARRAY:
                for row in rows:
                    if row[position].WhichOneof("value") is None:
                        row[position] = encode(kind, [])
        table.rows = rows
        table.resource["numRows"] = str(len(rows))
        table.resource["lastModifiedTime"] = str(int(time.time() * 1000))


def _absolute(name: str, default: str | None) -> str:
    """Return a name with project and dataset, where these are not given."""
    if not default or name.count(".") >= 2:
        return name
    return f"{default.partition('.')[0]}.{name}" if "." in name else f"{default}.{name}"

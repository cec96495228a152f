"""Translate the statements of the local BigQuery with few parses and copies of their syntax trees."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, partial
from typing import Any

from bqemulator.catalog import ddl_sync
from bqemulator.jobs import executor
from bqemulator.sql import inner_query, translator
from bqemulator.sql.rewriter import default_dataset
from sqlglot import Dialect, Expr
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import SqlglotError
from sqlglot.expressions import Expression, Table

from rawless.local.array_offsets import type_offsets
from rawless.local.conversions import call_macros


def translate_faster() -> None:
    """Parse each text once, and generate SQL only where it changed.

    bqemulator 1.4.0 parses a statement about twenty times on its way to the database, which takes most of the time.
    """
    Dialect.parse = _parse_once  # type: ignore[method-assign]
    Expression.update_positions = _leave_out_positions  # type: ignore[assignment,method-assign]
    default_dataset.qualify_unqualified_tables = _qualify_unqualified_tables
    inner_query.build_catalog_schema = _build_catalog_schema
    translator.SQLTranslator._apply_rules = _apply_rules_once
    translator.SQLTranslator.translate = _translate_once
    executor.rewrite_table_refs = lru_cache(_MAX_TEXTS)(_sharing(executor.rewrite_table_refs))
    executor._reject_dml_on_immutable = _reject_dml_sharing
    executor._capture_dml_snapshots = _capture_dml_sharing
    for module, names in _SHARING.items():
        for name in names:
            setattr(module, name, _sharing(getattr(module, name)))


_SHARING: dict[Any, tuple[str, ...]] = {
    executor: ("_parse_for_classification", "detect_drop_routine"),
    ddl_sync: (
        "_detect_catalog_drop", "_detect_create_schema", "_detect_plain_create_table", "_detect_plain_create_view",
    ),
    inner_query: ("rewrite_for_row_access",),
    translator: ("rewrite_create_table_schema_ctas", "rewrite_division_by_zero", "rewrite_unnest_struct"),
}  # fmt: skip
"""Functions that look at the trees of a text, and return another text if they change them."""
_MAX_TEXTS = 256
"""Texts whose trees and translations are kept."""


class _Trees(threading.local):
    """The syntax trees of the latest texts."""

    def __init__(self) -> None:
        self._trees: dict[str, dict[type[Dialect], list[Expr | None]]] = {}

    def of(self, kind: type[Dialect], sql: str) -> list[Expr | None]:
        """Return the trees of a text, parsed at the first call."""
        trees = self._trees[sql] = self._trees.pop(sql, {})  # as the latest
        if kind not in trees:
            trees[kind] = _parse(kind(), sql)
        if len(self._trees) > _MAX_TEXTS:
            self.forget(next(iter(self._trees)))
        return trees[kind]

    def forget(self, sql: str) -> None:
        """Parse a text anew the next time."""
        self._trees.pop(sql, None)


_parse = Dialect.parse
_trees = _Trees()
_shared = ContextVar("_shared", default="")
"""The text of which the running function gets the trees themselves."""


def _parse_once(self: Dialect, sql: str, **options: Any) -> list[Expr | None]:
    if options or self.settings:
        return _parse(self, sql, **options)
    trees = _trees.of(type(self), sql)
    return trees if sql == _shared.get() else [tree.copy() if tree else None for tree in trees]


@contextmanager
def _share(sql: str) -> Iterator[None]:
    """Hand out the trees of a text themselves instead of copies."""
    token = _shared.set(sql)
    try:
        yield
    finally:
        _shared.reset(token)


def _sharing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Share the trees of a function's first argument with it, and forget them if it changed them."""

    def call(sql: str, *arguments: Any, **options: Any) -> Any:
        try:
            with _share(sql):
                result = function(sql, *arguments, **options)
        except Exception:
            _trees.forget(sql)
            raise
        if isinstance(result, str) and result is not sql:
            _trees.forget(sql)
        return result

    return call


_reject_dml, _capture_dml = executor._reject_dml_on_immutable, executor._capture_dml_snapshots


def _reject_dml_sharing(project: str, sql: str, context: Any) -> None:
    with _share(sql):
        _reject_dml(project, sql, context)


async def _capture_dml_sharing(project: str, sql: str, context: Any) -> None:
    with _share(sql):
        await _capture_dml(project, sql, context)


def _leave_out_positions(self: Expression, *_: Any, **__: Any) -> Expression:
    """Place no node in its text: positions are half of the time of a copy, and nothing needs them."""
    return self


_qualify: Callable[..., str] = default_dataset.qualify_unqualified_tables


def _qualify_unqualified_tables(sql: str, **defaults: str) -> str:
    """Keep a text as it is unless it names a table without its dataset."""
    try:
        trees = [tree for tree in _trees.of(BigQuery, sql) if tree]
    except SqlglotError:
        return sql
    for tree in trees:
        names = default_dataset._collect_cte_names(tree)
        if any(not table.db and table.name not in names for table in tree.find_all(Table)):
            return _qualify(sql, **defaults)
    return sql


_catalog_schema = inner_query.build_catalog_schema


def _build_catalog_schema(sql: str, **options: Any) -> Any:
    """Look up the types of columns only for the one function whose translation depends on them."""
    return _catalog_schema(sql, **options) if "AVG" in sql.upper() else {}


_apply_rules, _translate = translator.SQLTranslator._apply_rules, translator.SQLTranslator.translate


def _translate_converting(self: translator.SQLTranslator, sql: str, **options: Any) -> Any:
    return _translate(self, _sharing(call_macros)(_sharing(type_offsets)(sql)), **options)


_translate_latest = lru_cache(_MAX_TEXTS)(_translate_converting)


def _translate_once(self: translator.SQLTranslator, sql: str, *, schema: Any = None, caller: Any = None) -> Any:
    return (
        _translate_converting(self, sql, schema=schema, caller=caller)
        if schema
        else _translate_latest(self, sql, caller=caller)
    )


def _apply_rules_once(self: translator.SQLTranslator, sql: str, *, schema: Any = None) -> Any:
    """Give the rules the tree itself, unless types are added to it."""
    return _apply_rules(self, sql, schema=schema) if schema else _sharing(partial(_apply_rules, self))(sql)

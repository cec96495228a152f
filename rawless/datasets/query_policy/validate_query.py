"""Validate the SQL of labels and rules before it reaches BigQuery: which tables it reads, and that it is deterministic.

Everything that is not known to be harmless is refused: tokens in `lexical_check`, nodes of the syntax tree in
`allowed_syntax`, tables and names here.
"""

import logging
import warnings
from collections.abc import Collection, Iterator
from itertools import pairwise
from typing import NamedTuple

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import ParseError

from rawless.datasets.query_policy.allowed_syntax import check_node
from rawless.datasets.query_policy.lexical_check import InvalidQuery, abbreviate, texts, tokenize
from rawless.errors import UserError
from rawless.similar_names import did_you_mean

_NOT_A_SELECT = "is not a SELECT: write one SELECT and nothing else"
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # its messages quote queries


class ValidatedQuery(NamedTuple):
    """What a query reads and returns. Names are in lower case, but those of tables and parameters are as declared."""

    tables: frozenset[str]
    parameters: frozenset[str]
    columns: frozenset[str]
    """Every name that may be a column's, which includes names before a dot."""
    output: tuple[str, ...]
    texts: frozenset[str]
    """Its string literals, as they are written."""
    decides_alone: bool
    """Whether it returns each row of `event` or not by that row and by other tables, whatever other rows there are."""
    columns_by_table: frozenset[tuple[str, str]]
    """The columns that it reads, each with the table whose alias stands before the dot, or an empty text."""


def validate_query(text: str, *, tables: Collection[str], parameters: Collection[str], where: str) -> ValidatedQuery:
    """Check that `text` is one deterministic SELECT in GoogleSQL that reads only `tables` and `parameters`.

    Raises UserError, a sentence that starts with `where`. The text may end in a comment: append a line break.
    """
    try:
        tree = _parse(text)
        for node in tree.walk():
            check_node(node)
        _check_casts(tree)
        return ValidatedQuery(
            frozenset(_tables(tree, {name.lower(): name for name in tables})),
            frozenset(_parameters(tree, {name.lower(): name for name in parameters})),
            frozenset(_columns(tree)),
            _output(tree),
            frozenset(texts(text)),
            _decides_alone(tree),
            frozenset(_columns_by_table(tree)),
        )
    except InvalidQuery as error:
        raise UserError(f"{where} {error}.") from None


def _parse(text: str) -> exp.Query:
    """Return the syntax tree of exactly one SELECT. Raises InvalidQuery."""
    tokens, words = tokenize(text)
    try:
        with warnings.catch_warnings(action="ignore"):  # Python's warnings about BigQuery's patterns
            (tree,) = BigQuery().parser().parse(tokens, text)
    except ParseError as error:
        position = "line {line}, column {col}".format_map(error.errors[0])
        raise InvalidQuery(f"cannot be parsed as GoogleSQL at {position}: correct it there") from None
    except RecursionError:
        raise InvalidQuery("is nested too deeply: name its parts by WITH") from None
    except Exception as error:  # noqa: BLE001 - the parser compiles patterns, which may raise anything
        raise InvalidQuery(f"cannot be parsed as GoogleSQL ({type(error).__name__}): simplify it") from None
    if not isinstance(tree, exp.Query):
        raise InvalidQuery(_NOT_A_SELECT)
    _check_complete(tree, words)
    return tree


def _check_complete(tree: exp.Query, words: list[str]) -> None:
    """Check that the tree contains everything that reads: sqlglot adds or drops what it does not understand."""
    if _count(tree, exp.Unnest) != list(pairwise(words)).count(("UNNEST", "(")):
        raise InvalidQuery("has an array of a row in FROM: write UNNEST(TABLE.COLUMN)")
    if _count(tree, exp.Select) != words.count("SELECT"):
        raise InvalidQuery("has a misplaced SELECT, or a FROM without SELECT: simplify it")
    if _count(tree, exp.From, exp.Extract, exp.NullSafeEQ, exp.NullSafeNEQ) != words.count("FROM"):
        raise InvalidQuery("has a misplaced FROM: write it after SELECT")


def _count(tree: exp.Query, *kinds: type[exp.Expr]) -> int:
    return sum(1 for _ in tree.find_all(*kinds))


def _tables(tree: exp.Query, allowed: dict[str, str]) -> Iterator[str]:
    """Yield the allowed tables that are read. Every other name must be a WITH clause's that is in scope."""
    for cte in tree.find_all(exp.CTE):
        if cte.alias.lower() in allowed:
            raise InvalidQuery(f"names {abbreviate(cte.alias)} by WITH, which is already a table: use another name")
    for table in tree.find_all(exp.Table):
        name = abbreviate(".".join(part.name or part.key for part in table.parts))
        if len(table.parts) > 1:
            raise InvalidQuery(f"reads {name}: name a table without project and dataset, and an array by UNNEST(…)")
        if not isinstance(table.this, exp.Identifier):
            raise InvalidQuery(f"reads the function {name}: name a table")
        if table.name.lower() in allowed:
            yield allowed[table.name.lower()]
        elif table.name.lower() not in _ctes_in_scope(table):
            near = did_you_mean(table.name, allowed.values())
            raise InvalidQuery(
                f"reads {name}{near}, which is none of its tables ({_listed(allowed)}): correct or declare it"
            )


def _check_casts(tree: exp.Query) -> None:
    """Refuse casts that may fail: BigQuery's job history keeps their errors, which quote the value."""
    for cast in tree.find_all(exp.Cast):
        is_safe = isinstance(cast, exp.TryCast) or cast.is_type("text") or cast.args.get("safe")
        if not is_safe and not isinstance(cast.this, exp.Literal | exp.Null):
            raise InvalidQuery(
                "casts a value by CAST, whose error would quote it in BigQuery's job history: write SAFE_CAST"
            )


def _ctes_in_scope(table: exp.Expr) -> set[str]:
    """Return the names that WITH defines for a table: all of each surrounding query, but only earlier ones of a WITH.

    `sqlglot.optimizer.scope` is not used because it is not complete: it skips subqueries in the ORDER BY of a union, so
    it would not see the tables there; it takes a pivoted WITH part for a table; and it compares names by case.
    """
    names: set[str] = set()
    child = table
    while (parent := child.parent) is not None:
        with_clause = parent.args.get("with_")
        if isinstance(parent, exp.With):
            names |= {cte.alias.lower() for cte in parent.expressions[: child.index or 0]}
        elif with_clause is not None and with_clause is not child:
            names |= {cte.alias.lower() for cte in with_clause.expressions}
        child = parent
    return names


def _parameters(tree: exp.Query, allowed: dict[str, str]) -> Iterator[str]:
    for parameter in tree.find_all(exp.Parameter):
        if parameter.name.lower() not in allowed:
            name = abbreviate(parameter.name)
            raise InvalidQuery(
                f"uses @{name}{did_you_mean(parameter.name, allowed.values())}, which is none of its parameters "
                f"({_listed(allowed)}): correct or declare it"
            )
        yield allowed[parameter.name.lower()]


def _columns(tree: exp.Query) -> Iterator[str]:
    """Yield the names that may be columns. A table's name alone is refused: it stands for all columns of a row."""
    row_names = {id(select): _row_names(select) for select in tree.find_all(exp.Select)}
    for identifier in tree.find_all(exp.Identifier):
        if identifier.arg_key == "alias" or isinstance(identifier.parent, exp.Table | exp.TableAlias):
            continue
        ancestor: exp.Expr | None = identifier.parent
        is_unqualified = isinstance(ancestor, exp.Column) and len(ancestor.parts) == 1
        while is_unqualified and ancestor is not None:
            if identifier.name.lower() in row_names.get(id(ancestor), ()):
                name = abbreviate(identifier.name)
                raise InvalidQuery(f"uses whole rows of {name}: name the columns, as in TABLE.COLUMN")
            ancestor = ancestor.parent
        yield identifier.name.lower()


def _columns_by_table(tree: exp.Query) -> Iterator[tuple[str, str]]:
    tables: dict[str, set[str]] = {}
    for table in tree.find_all(exp.Table):
        tables.setdefault(table.alias_or_name.lower(), set()).add(table.name.lower())
    for column in tree.find_all(exp.Column):
        alias = column.parts[-2].name.lower() if len(column.parts) > 1 else ""
        for table_name in tables.get(alias, {""}):
            yield table_name, column.name.lower()


def _row_names(select: exp.Select) -> set[str]:
    """Return the names by which a SELECT can refer to whole rows: tables, subqueries and pivots that it reads."""
    clauses = (select.args.get("from_"), *(select.args.get("joins") or ()))
    return {
        node.alias_or_name.lower()
        for clause in clauses
        if clause
        for node in clause.walk(prune=lambda node: isinstance(node, exp.Select | exp.SetOperation))
        if isinstance(node, exp.Table | exp.Subquery | exp.Pivot)
    }


def _output(tree: exp.Query) -> tuple[str, ...]:
    """Return the names of the columns, which are those of the first SELECT of a union."""
    pending: list[exp.Expr] = [tree]
    selects: list[exp.Select] = []
    while pending:
        query = pending.pop()
        if isinstance(query, exp.Select):
            selects.append(query)
        elif isinstance(query, exp.SetOperation):
            pending += [query.expression, query.this]
        elif isinstance(query, exp.Subquery):
            pending.append(query.this)
        else:
            raise InvalidQuery(_NOT_A_SELECT)
    if any(select.args.get("kind") for select in selects):
        raise InvalidQuery("uses SELECT AS: name the columns")
    names: list[str] = []
    for position, column in enumerate(selects[0].expressions, 1):
        is_named = isinstance(column, exp.Alias | exp.Column | exp.Dot)
        if not (name := column.output_name.lower() if is_named else ""):
            raise InvalidQuery(f"returns a column that has no name, at position {position}: write AS NAME after it")
        if name in names:
            raise InvalidQuery(f"returns two columns named {abbreviate(name)}: rename one by AS")
        names.append(name)
    return tuple(names)


def _decides_alone(tree: exp.Query) -> bool:
    """Return whether the query reads `event` once, in its outermost SELECT, and neither groups, ranks nor limits there.

    Then a row of the result comes from a single row of `event`, and there is no other way in which rows could meet.
    """
    if not isinstance(tree, exp.Select):
        return False
    events = [table for table in tree.find_all(exp.Table) if table.name.lower() == "event"]
    if len(events) != 1 or events[0].find_ancestor(exp.Select, exp.SetOperation) is not tree:
        return False
    if any(tree.args.get(clause) for clause in ("group", "having", "distinct", "qualify", "limit", "offset")):
        return False
    alias = events[0].alias_or_name.lower()
    plain = all(
        isinstance(column.unalias(), exp.Column) and column.unalias().table.lower() == alias
        for column in tree.expressions
    )
    meeting = tree.find_all(exp.Window, exp.AggFunc)
    return plain and not any(node.find_ancestor(exp.Select) is tree for node in meeting)


def _listed(names: dict[str, str]) -> str:
    return ", ".join(sorted(names.values())) or "there are none"

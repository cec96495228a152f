"""Judging the SQL of labels and rules by its syntax, before any cloud call: what it reads, and that it answers alike.

What is not known to be harmless is refused: the words in `words`, the parts in `faults`, tables and names here.
"""

import logging
import warnings
from collections.abc import Collection, Iterator
from itertools import pairwise
from typing import NamedTuple

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import ParseError

from rawless.datasets.query_policy.allowed_syntax import check
from rawless.datasets.query_policy.lexical_check import Refused, read, shown
from rawless.errors import UserError

_NO_SELECT = "is no SELECT: write one SELECT and nothing else"
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # it quotes queries


class Judged(NamedTuple):
    """What a query reads and answers, in lower case but for tables and parameters, which keep the names given."""

    tables: frozenset[str]
    parameters: frozenset[str]
    columns: frozenset[str]
    """Each name that may be a column's, so also what stands before a dot."""
    output: tuple[str, ...]


def judge(text: str, *, tables: Collection[str], parameters: Collection[str], where: str) -> Judged:
    """Hold one SELECT in GoogleSQL against the rules: it reads `tables` alone, and answers alike at each build.

    Raises UserError, a sentence that begins with `where`. A comment may end the text: put a new line behind it.
    """
    try:
        tree = _tree(text)
        for node in tree.walk():
            check(node)
        return Judged(
            frozenset(_tables(tree, {name.lower(): name for name in tables})),
            frozenset(_parameters(tree, {name.lower(): name for name in parameters})),
            frozenset(_columns(tree)),
            _output(tree),
        )
    except Refused as fault:
        raise UserError(f"{where} {fault}.") from None


def _tree(text: str) -> exp.Query:
    """The syntax tree of what is surely one SELECT."""
    tokens, words = read(text)
    try:
        with warnings.catch_warnings(action="ignore"):  # of Python's on patterns that are BigQuery's
            (tree,) = BigQuery().parser().parse(tokens, text)
    except ParseError as error:
        place = "line {line}, column {col}".format_map(error.errors[0])
        raise Refused(f"cannot be read as GoogleSQL at {place}: mend it there") from None
    except RecursionError:
        raise Refused("is nested too deeply: name its parts by WITH") from None
    except Exception as error:  # noqa: BLE001 - parsing compiles patterns, which may raise anything
        raise Refused(f"cannot be read as GoogleSQL ({type(error).__name__}): write it in a simpler way") from None
    if not isinstance(tree, exp.Query):
        raise Refused(_NO_SELECT)
    _check_whole(tree, words)
    return tree


def _check_whole(tree: exp.Query, words: list[str]) -> None:
    """All that reads must be in the tree: sqlglot adds here and drops there what it does not understand."""
    if _count(tree, exp.Unnest) != list(pairwise(words)).count(("UNNEST", "(")):
        raise Refused("has an array of a row in FROM: write UNNEST(TABLE.COLUMN)")
    if _count(tree, exp.Select) != words.count("SELECT"):
        raise Refused("has a SELECT where none can stand, or a FROM without SELECT: write it in a simpler way")
    if _count(tree, exp.From, exp.Extract, exp.NullSafeEQ, exp.NullSafeNEQ) != words.count("FROM"):
        raise Refused("has a FROM where none can stand: write it behind SELECT")


def _count(tree: exp.Query, *kinds: type[exp.Expr]) -> int:
    return sum(1 for _ in tree.find_all(*kinds))


def _tables(tree: exp.Query, allowed: dict[str, str]) -> Iterator[str]:
    """The allowed tables that are read. Any other must be a part named by WITH, where that is in scope."""
    for part in tree.find_all(exp.CTE):
        if part.alias.lower() in allowed:
            raise Refused(f"names {shown(part.alias)} by WITH, which is a table already: take another name")
    for table in tree.find_all(exp.Table):
        name = shown(".".join(part.name or part.key for part in table.parts))
        if len(table.parts) > 1:
            raise Refused(f"reads {name}: name a table without project and dataset, and an array by UNNEST(…)")
        if not isinstance(table.this, exp.Identifier):
            raise Refused(f"reads the function {name}: name a table")
        if table.name.lower() in allowed:
            yield allowed[table.name.lower()]
        elif table.name.lower() not in _parts_in_scope(table):
            raise Refused(f"reads {name}, which is none of its tables ({_listed(allowed)}): mend or declare it")


def _parts_in_scope(table: exp.Expr) -> set[str]:
    """What WITH names where a table stands: the parts of each query around it, of which beside its own the earlier."""
    names: set[str] = set()
    child = table
    while (parent := child.parent) is not None:
        given = parent.args.get("with_")
        if isinstance(parent, exp.With):
            names |= {part.alias.lower() for part in parent.expressions[: child.index or 0]}
        elif given is not None and given is not child:
            names |= {part.alias.lower() for part in given.expressions}
        child = parent
    return names


def _parameters(tree: exp.Query, allowed: dict[str, str]) -> Iterator[str]:
    for parameter in tree.find_all(exp.Parameter):
        if parameter.name.lower() not in allowed:
            name = shown(parameter.name)
            raise Refused(f"uses @{name}, which is none of its parameters ({_listed(allowed)}): mend or declare it")
        yield allowed[parameter.name.lower()]


def _columns(tree: exp.Query) -> Iterator[str]:
    """What may be a column. A table's name alone is refused: it stands for all columns of a row."""
    rows = {id(select): _rows(select) for select in tree.find_all(exp.Select)}
    for name in tree.find_all(exp.Identifier):
        if name.arg_key == "alias" or isinstance(name.parent, exp.Table | exp.TableAlias):
            continue
        around: exp.Expr | None = name.parent
        is_alone = isinstance(around, exp.Column) and len(around.parts) == 1
        while is_alone and around is not None:
            if name.name.lower() in rows.get(id(around), ()):
                raise Refused(f"takes whole rows of {shown(name.name)}: name the columns, as in TABLE.COLUMN")
            around = around.parent
        yield name.name.lower()


def _rows(select: exp.Select) -> set[str]:
    """By what names a SELECT may speak of the rows that it reads."""
    read_by = (select.args.get("from_"), *(select.args.get("joins") or ()))
    within = (part.walk(prune=lambda node: isinstance(node, exp.Select | exp.SetOperation)) for part in read_by if part)
    return {
        source.alias_or_name.lower()
        for part in within
        for source in part
        if isinstance(source, exp.Table | exp.Subquery | exp.Pivot)
    }


def _output(tree: exp.Query) -> tuple[str, ...]:
    """The names of the columns, which the first SELECT of a union gives."""
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
            raise Refused(_NO_SELECT)
    if any(select.args.get("kind") for select in selects):
        raise Refused("answers by SELECT AS: name the columns")
    names: list[str] = []
    for place, column in enumerate(selects[0].expressions, 1):
        is_named = isinstance(column, exp.Alias | exp.Column | exp.Dot)
        if not (name := column.output_name.lower() if is_named else ""):
            raise Refused(f"answers with a column that has no name, at place {place}: write AS NAME behind it")
        if name in names:
            raise Refused(f"answers with two columns named {shown(name)}: name one otherwise by AS")
        names.append(name)
    return tuple(names)


def _listed(names: dict[str, str]) -> str:
    return ", ".join(sorted(names.values())) or "there are none"

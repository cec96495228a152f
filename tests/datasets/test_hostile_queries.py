"""Queries that would read what they may not: by scope, by quoting, by depth, and by chance."""

import re
import time

import pytest
import sqlglot
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlglot import exp
from sqlglot.optimizer.scope import traverse_scope

from rawless.datasets.query_policy.validate_query import ValidatedQuery, validate_query
from rawless.errors import UserError

ALLOWED = {"event", "closed"}
SEED = (
    "WITH part AS (SELECT event.a, event.b FROM event WHERE event.c <= @as_of) SELECT part.a, COUNT(*) AS n, 'x' AS s "
    "FROM part JOIN closed USING (a), UNNEST(closed.d) AS e WHERE EXISTS (SELECT 1 FROM event AS f WHERE f.a = part.a) "
    "GROUP BY part.a -- ready\n UNION ALL (SELECT a, b, r'\\d' FROM (SELECT a, b FROM closed) AS g ORDER BY a LIMIT 3)"
)


def validated(text: str) -> ValidatedQuery:
    return validate_query(text, tables=ALLOWED, parameters=["as_of"], where="The rule x")


READS = {
    "another table": "SELECT a FROM secret",
    "dataset": "SELECT a FROM ds.event",
    "project": "SELECT a FROM project.ds.event",
    "dashes": "SELECT a FROM my-project.ds.event",
    "digits": "SELECT a FROM event-1.ds.event",
    "backticks": "SELECT a FROM `my-project.ds.event`",
    "some backticks": "SELECT a FROM `ds`.event",
    "space": "SELECT a FROM ds /* */ . event",
    "wildcard": "SELECT a FROM `event_*`",
    "schema": "SELECT table_name FROM ds.INFORMATION_SCHEMA.TABLES",
    "bare schema": "SELECT table_name FROM INFORMATION_SCHEMA.TABLES",
    "list of tables": "SELECT a FROM __TABLES__",
    "list of a dataset's tables": "SELECT a FROM ds.__TABLES__",
    "partition": "SELECT a FROM event$20260101",
    "table function": "SELECT a FROM embedding_event(1, 2)",
    "known function as table": "SELECT a FROM GENERATE_ARRAY(1, 2)",
    "model": "SELECT a FROM ML.PREDICT(MODEL ds.m, TABLE event)",
    "search": "SELECT a FROM VECTOR_SEARCH(TABLE event, 'a', TABLE closed)",
    "elsewhere": "SELECT a FROM EXTERNAL_QUERY('connection', 'SELECT 1')",
    "appends": "SELECT a FROM APPENDS(TABLE event, NULL, NULL)",
    "changes": "SELECT a FROM CHANGES(TABLE event, NULL, NULL)",
    "gaps": "SELECT a FROM GAP_FILL(TABLE event, ts_column => 'a')",
    "graph": "SELECT a FROM GRAPH_TABLE(g MATCH (n) RETURN n.a)",
    "a table so called": "SELECT a FROM TABLE event",
    "array of a row": "SELECT a FROM event, event.attributes",
    "array of an alias": "SELECT a FROM event AS e JOIN e.attributes",
    "array, with a word to hide it": "SELECT event.unnest AS a FROM event, event.attributes",
    "array from further out": "SELECT a FROM event WHERE EXISTS (SELECT 1 FROM event.attributes)",
    "join": "SELECT a FROM event LEFT JOIN secret USING (a)",
    "comma": "SELECT a FROM event, secret",
    "brackets": "SELECT a FROM (event CROSS JOIN (secret))",
    "subquery": "SELECT a FROM (SELECT b FROM secret)",
    "union": "SELECT a FROM event UNION ALL (SELECT a FROM secret)",
    "from without select": "SELECT (FROM secret) AS a",
    "from before select": "SELECT a FROM event UNION ALL (FROM secret SELECT a FROM event)",
    "from after with": "WITH b AS (SELECT a FROM event) FROM secret SELECT a FROM b",
    "from as a column": "SELECT event.from secret FROM event",
    "from after union": "SELECT a FROM event UNION ALL FROM secret",
    "pivot": "SELECT a FROM event PIVOT(SUM(a) FOR b IN (SELECT c FROM secret))",
    "order": "SELECT a FROM event ORDER BY (SELECT b FROM secret)",
    "window": "SELECT SUM(a) OVER (ORDER BY (SELECT b FROM secret)) AS a FROM event",
    "correlated": "SELECT a FROM event WHERE EXISTS (SELECT 1 FROM secret WHERE secret.a = event.a)",
    "dropped argument": "SELECT LENGTH(a, (SELECT b FROM secret)) AS a FROM event",
    "interval": "SELECT DATE_ADD(a, INTERVAL (SELECT b FROM secret) DAY) AS a FROM event",
    "named argument": "SELECT PARSE_JSON('1', x => (SELECT b FROM secret)) AS a",
    "shadow": "WITH Event AS (SELECT 1 AS a) SELECT a FROM event",
    "shadow within": "SELECT a FROM (WITH closed AS (SELECT 1 AS a) SELECT a FROM closed)",
    "part elsewhere": "(WITH secret AS (SELECT 1 AS a) SELECT a FROM secret) UNION ALL SELECT a FROM secret",
    "part beside": "SELECT a FROM (WITH secret AS (SELECT 1 AS a) SELECT a FROM secret), secret",
    "part within a condition": "SELECT a FROM secret WHERE a IN (WITH secret AS (SELECT 1 AS a) SELECT a FROM secret)",
    "part of a part": "WITH b AS (WITH secret AS (SELECT 1 AS a) SELECT a FROM secret) SELECT a FROM secret",
    "itself": "WITH secret AS (SELECT a FROM secret) SELECT a FROM secret",
    "later part": "WITH b AS (SELECT a FROM secret), secret AS (SELECT 1 AS a) SELECT a FROM b",
    "qualified part": "WITH secret AS (SELECT 1 AS a) SELECT a FROM ds.secret",
    "part that is no query": "WITH b AS (secret) SELECT a FROM b",
    "union with no query": "WITH b AS (SELECT a FROM event) secret UNION ALL (SELECT a FROM b)",
    "no columns": "SELECT",
    "kelvin": "SELECT a FROM \u212aept",
    "long s": "SELECT a FROM `clo\u017fed`",
}
QUOTES = {
    "triple": "SELECT '''a\\'''' AS a, ''' FROM secret --''' AS b",
    "triple, double": 'SELECT """a""" AS a',
    "raw": "SELECT r'\\' AS a FROM secret -- '",
    "operator or comment": "SELECT a #> 'x\n FROM secret",
    "backtick": "SELECT a AS `b``c` FROM event",
    "backtick escaped": "SELECT a AS `b\\`, (SELECT 1 FROM secret) AS c -- ` FROM event",
    "open quote": "SELECT 'a AS a",
    "open comment": "SELECT a FROM event /* ",
    "comment in a comment": "SELECT a FROM event /* /* */ , secret */",
    "string over lines": "SELECT 'a\n' AS a",
    "carriage return": "SELECT a FROM event -- x\r, secret",
    "line separator": "SELECT a FROM event -- x\u2028, secret",
    "next line": "SELECT a FROM event -- x\x85, secret",
    "hard space": "SELECT a FROM\u00a0event",
    "nought": "SELECT a FROM event\x00",
    "half of a character": "SELECT '\ud800' AS a",
    "letters beyond": "SELECT \u00e9 FROM event",
    "glued": "SELECT USER-DEFINED(a) AS a FROM event",
    "dollar": "SELECT a$b FROM event",
}


@pytest.mark.parametrize("text", [*READS.values(), *QUOTES.values()], ids=[*READS, *QUOTES])
def test_no_query_reads_another_table(text: str) -> None:
    with pytest.raises(UserError, match=r"^The rule x "):
        validated(text)


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("WITH b AS (SELECT a FROM EVENT), c AS (SELECT a FROM B) SELECT a FROM C, b AS d", {"event"}),
        ("WITH b AS (SELECT a FROM event) SELECT a FROM b UNION DISTINCT SELECT a FROM b", {"event"}),
        ("WITH b AS (SELECT 1 AS a) (SELECT a FROM closed WHERE a IN (SELECT a FROM b))", {"closed"}),
        ("WITH b AS (SELECT 1 AS a) SELECT a FROM (WITH c AS (SELECT a FROM b) SELECT a FROM c, b)", set()),
        ("WITH b AS (SELECT 1 AS a) SELECT a FROM (WITH b AS (SELECT a FROM b) SELECT a FROM b)", set()),
        ("SELECT a FROM `event`, (closed) WHERE EXISTS (SELECT 1 FROM closed AS c WHERE c.a = event.a)", ALLOWED),
        ("SELECT a FROM event AS secret WHERE secret.a = 'FROM secret' -- FROM secret", {"event"}),
        (SEED, ALLOWED),
    ],
)
def test_a_name_defined_by_with_is_a_table_where_it_is_in_scope(text: str, tables: set[str]) -> None:
    assert validated(text).tables == tables


DEEP = {
    "brackets": ("(", "1", ")"),
    "calls": ("ABS(", "1", ")"),
    "structs": ("STRUCT(", "1", ")"),
    "dates": ("DATE(", "1", ")"),
    "dates in structs": ("STRUCT(DATE(", "1", "))"),
    "arrays of strings": ("STRING[", "1", "]"),
    "safe": ("SAFE.ABS(", "1", ")"),
    "subqueries": ("(SELECT a FROM ", "event", ")"),
    "not": ("NOT ", "TRUE", ""),
    "cases": ("CASE WHEN ", "TRUE", " THEN 1 END"),
    "dots": ("a.", "a", ""),
    "sums": ("1 + ", "1", ""),
    "unions": ("1 AS a UNION ALL SELECT ", "1", ""),
    "unnested": ("ARRAY(SELECT b FROM UNNEST(", "a", ") AS b ORDER BY b)"),
    "bounds": ("REGEXP_EXTRACT(a, '", "a{99999999999999999999}", "')"),
}


@pytest.mark.parametrize(("start", "middle", "end"), DEEP.values(), ids=DEEP)
@pytest.mark.parametrize("depth", [1, 14, 24, 100, 1200])
def test_deep_nesting_is_refused_or_validated_quickly(start: str, middle: str, end: str, depth: int) -> None:
    began = time.monotonic()
    for text in (f"SELECT {start * depth}{middle}{end * depth} AS a", f"SELECT a FROM {start * depth}"):
        outcome(text)
    assert time.monotonic() - began < 10


def test_a_long_text_is_refused() -> None:
    validated(f"SELECT 1 AS a{' ' * 19_987}")
    with pytest.raises(UserError, match="20,000 characters"):
        validated(f"SELECT 1 AS a{' ' * 19_988}")


def outcome(text: str) -> ValidatedQuery | None:
    """Return the result of validation, None if refused, compared with two other readings of the text."""
    try:
        answer = validated(text)
    except UserError:
        return None
    tree = sqlglot.parse_one(text, dialect="bigquery")
    parts = {part.alias.lower() for part in tree.find_all(exp.CTE)}
    tables = {(table.db, table.name.lower()) for table in tree.find_all(exp.Table)}
    assert tables <= {("", name) for name in ALLOWED | parts}
    sources = [source for scope in traverse_scope(tree) for source in scope.sources.values()]
    assert {source.name.lower() for source in sources if isinstance(source, exp.Table)} <= answer.tables <= ALLOWED
    assert not re.search(r"(?i)\b(FROM|JOIN)\s+`?(secret|ds\b)", as_bigquery_reads(text))
    assert answer.parameters <= {"as_of"}
    assert len(set(answer.output)) == len(answer.output) > 0
    return answer


def as_bigquery_reads(text: str) -> str:
    """The text without strings and comments, and with other names for fields that are named like keywords."""
    strings = r"""'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\"|'(?:\\.|[^\\'])*'|"(?:\\.|[^\\"])*\""""
    code = re.sub(rf"(?s){strings}|--[^\r\n]*|\#[^\r\n]*|/\*.*?\*/", " ", text)
    # After the dot of a path a keyword is the name of a field, but not after that of a number.
    return re.sub(r"(?i)([a-z_`)\]]\s*\.\s*)(FROM|JOIN)\b", r"\1field", code)


def test_a_keyword_after_a_dot_is_a_field_of_a_path_but_not_after_a_number() -> None:
    assert as_bigquery_reads("SELECT a . JOIN secret") == "SELECT a . field secret"
    assert as_bigquery_reads("SELECT 1.FROM secret") == "SELECT 1.FROM secret"


@given(st.text(max_size=200) | st.text(max_size=80).map("SELECT {} AS a FROM event".format))
@settings(deadline=None, max_examples=300)
def test_any_text_is_validated_or_refused(text: str) -> None:
    outcome(text)


PIECES = """
    SELECT FROM secret event closed ds.secret `ds.secret` , ( ) [ ] . * a b AS ' " ` ''' r'\\' \\ -- # /* */ ; @ @as_of
    WITH part JOIN LATERAL UNNEST( ARRAY( EXISTS( IN OVER( LIMIT STRUCT( DATE TABLE PIVOT( => |> || > < 1 - { } INTERVAL
    EXTRACT( CAST( IF( SAFE. ML. LENGTH(a, HAVING QUALIFY WINDOW EXCEPT REPLACE ALL DISTINCT -> ? UNION é ORDER BY ON
"""
PHRASES = (
    "\n",
    "\r",
    "\0",
    " ",
    "secret AS (",
    "UNION ALL SELECT a FROM secret",
    "(SELECT a FROM secret)",
    "JOIN secret",
)
pieces = st.sampled_from([*PIECES.split(), *PHRASES, "FROM secret", ", secret", "ORDER BY a", "CASE WHEN", "x ->"])


@given(
    st.lists(st.tuples(st.integers(0, len(SEED)), st.integers(0, 12), pieces, st.sampled_from([" ", ""])), max_size=4)
)
@settings(deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
@example([])
def test_a_query_with_any_insertions_reads_no_other_table(changes: list[tuple[int, int, str, str]]) -> None:
    text = SEED
    for place, dropped, piece, space in changes:
        text = f"{text[:place]}{space}{piece}{space}{text[place + dropped :]}"
    if outcome(text) is None:
        assert changes


@given(st.lists(pieces, max_size=12).map(" ".join))
@settings(deadline=None, max_examples=1000)
@example("AS a FROM event")
@example(". JOIN secret")
def test_pieces_in_any_order_read_no_other_table(text: str) -> None:
    outcome(f"SELECT a {text}")

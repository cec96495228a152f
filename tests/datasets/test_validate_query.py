"""Validation of SQL: what labels and rules may and may not contain; refusals are one sentence."""

import pytest

from rawless.datasets.query_policy.validate_query import ValidatedQuery, validate_query
from rawless.errors import UserError

TABLES = ("event", "Closed")
PARAMETERS = ("as_of", "days", "kinds")
WHERE = "The label labels/confirmed.sql"


def validated(text: str) -> ValidatedQuery:
    return validate_query(text, tables=TABLES, parameters=PARAMETERS, where=WHERE)


def refusal(text: str) -> str:
    """The one sentence with which a text is refused."""
    with pytest.raises(UserError) as refused:
        validated(text)
    sentence = str(refused.value)
    assert sentence.startswith(f"{WHERE} ")
    assert sentence.endswith(".")
    assert sentence.isprintable()
    assert ": " in sentence  # followed by how to fix it
    return sentence


STATEMENTS = {
    "nothing": "",
    "a comment": "-- nothing\n/* at all */ # here",
    "brackets": "(((",
    "create": "CREATE TABLE x AS SELECT 1 AS a",
    "create function": "CREATE TEMP FUNCTION f() AS (1)",
    "drop": "DROP TABLE event",
    "insert": "INSERT INTO event SELECT 1 AS a",
    "update": "UPDATE event SET a = 1 WHERE TRUE",
    "delete": "DELETE FROM event WHERE TRUE",
    "merge": "MERGE event USING Closed ON FALSE WHEN NOT MATCHED THEN INSERT ROW",
    "truncate": "TRUNCATE TABLE event",
    "declare": "DECLARE x INT64",
    "set": "SET x = 1",
    "call": "CALL ds.f()",
    "execute": "EXECUTE IMMEDIATE 'SELECT 1'",
    "export": "EXPORT DATA OPTIONS(uri='gs://x') AS SELECT 1 AS a",
    "load": "LOAD DATA INTO ds.t FROM FILES(format='CSV')",
    "assert": "ASSERT TRUE",
    "grant": "GRANT `roles/x` ON TABLE event TO 'user:x'",
    "begin": "BEGIN SELECT 1 AS a",
    "explain": "EXPLAIN SELECT 1 AS a",
    "if": "IF TRUE THEN SELECT 1 AS a",
    "for": "FOR r IN (SELECT 1 AS a) DO SELECT 1 AS a",
    "from first": "FROM event",
    "table": "TABLE event",
    "a value": "1 + 1",
    "two": "SELECT 1 AS a; SELECT 2 AS a",
    "two without a semicolon": "SELECT 1 AS a SELECT 2 AS a",
    "a semicolon at the end": "SELECT 1 AS a;",
    "no SQL": "SELECT FROM WHERE",
}


@pytest.mark.parametrize("text", STATEMENTS.values(), ids=STATEMENTS)
def test_anything_but_one_select_is_refused(text: str) -> None:
    refusal(text)


CLAUSES = {
    "into": ("SELECT a INTO b FROM event", "INTO"),
    "lock": ("SELECT a FROM event FOR UPDATE", "LOCK"),
    "time travel": ("SELECT a FROM event FOR SYSTEM_TIME AS OF @as_of", "cut at the as-of"),
    "time travel, older": ("SELECT a FROM event FOR SYSTEM TIME AS OF @as_of", "VERSION"),
    "sample": ("SELECT a FROM event TABLESAMPLE SYSTEM (10 PERCENT)", "FARM_FINGERPRINT"),
    "recursive": ("WITH RECURSIVE b AS (SELECT 1 AS a UNION ALL SELECT a FROM b) SELECT a FROM b", "RECURSIVE"),
    "pipe": ("SELECT a FROM event |> JOIN secret USING (a)", "the pipe"),
    "hint": ("SELECT a FROM event JOIN @{JOIN_METHOD=HASH_JOIN} Closed USING (a)", "a brace"),
    "differential privacy": ("SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS(epsilon=1) COUNT(*) AS n FROM event", "OPTIONS"),
    "time zone of STRING": ("SELECT STRING(a, 'Europe/Berlin') AS a FROM event", "write FORMAT_TIMESTAMP"),
    "named window": ("SELECT LAG(a) OVER w AS a FROM event WINDOW w AS (ORDER BY b)", "names a window"),
    "lateral": ("SELECT a FROM event, LATERAL b", "LATERAL"),
    "fetch": ("SELECT a FROM event ORDER BY a FETCH FIRST 5 ROWS ONLY", "FETCH"),
    "union by name": ("SELECT a FROM event UNION ALL BY NAME SELECT a FROM Closed", "by name"),
    "outer union": ("SELECT a FROM event FULL OUTER UNION ALL BY NAME SELECT b FROM Closed", "by name"),
    "star": ("SELECT * FROM event", "name the columns"),
    "star of a table": ("SELECT event.* FROM event", "name the columns"),
    "star but": ("SELECT * EXCEPT (a) FROM event", "name the columns"),
    "star within": ("SELECT a FROM (SELECT * FROM event)", "name the columns"),
    "star in with": ("WITH b AS (SELECT * FROM event) SELECT a FROM b", "name the columns"),
    "star in a struct": ("SELECT STRUCT(event.*) AS a FROM event", "name the columns"),
    "a row": ("SELECT TO_JSON_STRING(event) AS a FROM event", "whole rows of event"),
    "a row by its alias": ("SELECT FORMAT('%t', E) AS a FROM event AS e", "whole rows of E"),
    "a row of a part": ("WITH b AS (SELECT a FROM event) SELECT TO_JSON_STRING((b)) AS a FROM b", "whole rows of b"),
    "a row from further out": ("SELECT (SELECT TO_JSON_STRING(event)) AS a FROM event", "whole rows of event"),
    "a row of a pivot": ("SELECT TO_JSON(p) AS a FROM event PIVOT(SUM(b) FOR k IN ('x')) AS p", "whole rows of p"),
    "as struct": ("SELECT AS STRUCT a FROM event", "SELECT AS"),
    "as value": ("SELECT a FROM event UNION ALL SELECT AS VALUE b FROM event", "SELECT AS"),
    "no name": ("SELECT a, b + 1 FROM event", "no name, at position 2"),
    "no name of a constant": ("SELECT 'secret'", "no name"),
    "no name of a cast": ("SELECT CAST(a AS STRING) FROM event", "no name"),
    "no name in brackets": ("(SELECT (a) FROM event) UNION ALL SELECT a FROM event", "no name"),
    "one name twice": ("SELECT a, event.b AS A FROM event", "two columns named a"),
    "template": ("SELECT a FROM {{ table }}", "{{"),
    "template in a string": ("SELECT '{% x %}' AS a", "{%"),
    "template comment": ("SELECT 1 AS a {# x #}", "{#"),
    "no name of a parameter": ("SELECT a FROM event WHERE b = ?", "write @NAME"),
    "colon parameter": ("SELECT a FROM event WHERE b = :days", "write @NAME"),
    "system variable": ("SELECT @@project_id AS a", "system variable"),
    "system variable with a dot": ("SELECT @@error.message AS a", "system variable"),
    "unknown parameter": (
        "SELECT a FROM event WHERE b = @hours",
        "@hours, which is none of its parameters (as_of, days",
    ),
    "unknown parameter in backticks": ("SELECT @`hours` AS a", "@hours"),
    "numbered hint": ("SELECT @5 AS a", "@5"),
}


@pytest.mark.parametrize(("text", "says"), CLAUSES.values(), ids=CLAUSES)
def test_a_clause_that_is_not_allowed_is_refused(text: str, says: str) -> None:
    assert says in refusal(text)


REFUSED_BY_BIGQUERY = {
    "cast": ("a::STRING = 'x'", "write CAST"),
    "modulo": ("a % 2 = 0", "write MOD"),
    "equal": ("a == 1", "no operator of GoogleSQL"),
    "null-safe": ("a <=> b", "no operator of GoogleSQL"),
    "and": ("a && b", "no operator of GoogleSQL"),
    "ilike": ("a ILIKE 'x'", "ILIKE"),
    "similar": ("a SIMILAR TO 'x'", "ILIKE"),
    "glob": ("a GLOB 'x'", "ILIKE"),
    "escape": ("a LIKE 'x' ESCAPE '_'", "ILIKE"),
    "months": ("b < TIMESTAMP_SUB(@as_of, INTERVAL 1 MONTH)", "DATETIME_SUB"),
    "weeks": ("b < TIMESTAMP_ADD(@as_of, INTERVAL @days WEEK)", "DATETIME_SUB"),
    "months between": ("TIMESTAMP_DIFF(a, b, MONTH) > 1", "DATETIME_DIFF"),
    "all": ("a <> ALL (SELECT b FROM Closed)", "NOT EXISTS"),
    "any": ("a = ANY (SELECT b FROM Closed)", "IN (SELECT"),
    "limit": ("a = (SELECT b FROM Closed ORDER BY b LIMIT 5 + 5)", "a number or a parameter"),
    "offset": ("a = (SELECT b FROM Closed ORDER BY b LIMIT 5 OFFSET 5 + 5)", "a number or a parameter"),
    "semi join": ("EXISTS (SELECT 1 FROM event AS e LEFT SEMI JOIN Closed AS c ON c.a = e.a)", "JOIN … ON"),
    "anti join": ("EXISTS (SELECT 1 FROM event AS e ANTI JOIN Closed AS c ON c.a = e.a)", "JOIN … ON"),
    "natural join": ("EXISTS (SELECT 1 FROM event AS e NATURAL JOIN Closed AS c)", "JOIN … ON"),
    "as-of join": ("EXISTS (SELECT 1 FROM event AS e ASOF JOIN Closed AS c ON c.a >= e.a)", "JOIN … ON"),
    "a table like a column": (
        "EXISTS (SELECT state.a AS state FROM Closed AS state ORDER BY state.b)",
        "name the table otherwise",
    ),
}


@pytest.mark.parametrize(("condition", "says"), REFUSED_BY_BIGQUERY.values(), ids=REFUSED_BY_BIGQUERY)
def test_sql_that_only_the_local_bigquery_understands_is_refused(condition: str, says: str) -> None:
    assert says in refusal(f"SELECT a FROM event WHERE {condition}")


@pytest.mark.parametrize(
    "condition",
    [
        "a NOT IN (SELECT b FROM Closed)",
        "NOT a IN (SELECT b FROM Closed)",
        "NOT (c AND (a IN (SELECT b FROM Closed)))",
        "(a IN (SELECT b FROM Closed)) = FALSE",
        "a IN (SELECT b FROM Closed) IS FALSE",
        "a NOT IN UNNEST(ARRAY(SELECT b FROM Closed ORDER BY b))",
    ],
)
def test_a_subquery_with_a_null_cannot_exclude_every_row(condition: str) -> None:
    assert "write NOT EXISTS" in refusal(f"SELECT a FROM event WHERE {condition}")


@pytest.mark.parametrize(
    "condition",
    [
        "a IN (SELECT b FROM Closed)",
        "NOT EXISTS (SELECT 1 FROM Closed WHERE Closed.a = event.a AND Closed.b IN (SELECT c FROM event))",
        "a NOT IN ('x', 'y') AND (SELECT MAX(b) FROM Closed) NOT IN (1, 2) AND b NOT IN UNNEST(@kinds)",
        "b < TIMESTAMP_SUB(@as_of, INTERVAL @days DAY) AND DATE_DIFF(a, c, MONTH) > 1",
        "1 << 2 > 3 >> 1 AND a || 'x' != b AND ~1 & 2 | 3 ^ 4 < 5 AND a IS NOT DISTINCT FROM b",
    ],
)
def test_what_excludes_only_what_it_names_is_allowed(condition: str) -> None:
    assert validated(f"SELECT a FROM event WHERE {condition}").output == ("a",)


CALLS = {
    **{name: f"{name}()" for name in ("RAND", "GENERATE_UUID", "SESSION_USER", "SESSION_ID", "CURRENT_DATE")},
    **{name: f"{name}()" for name in ("CURRENT_TIME", "CURRENT_DATETIME", "CURRENT_TIMESTAMP", "CURRENT_USER")},
    "date, zoned": "CURRENT_DATE('UTC')",
    **{f"{name} alone": name for name in ("CURRENT_DATE", "CURRENT_TIME", "Current_Datetime", "CURRENT_TIMESTAMP")},
    **{name: f"{name}(a)" for name in ("APPROX_COUNT_DISTINCT", "APPROX_QUANTILES", "ERROR", "my_function")},
    **{name: f"{name}(a)" for name in ("NET.HOST", "KEYS.NEW_KEYSET", "AEAD.ENCRYPT", "HLL_COUNT.INIT", "ML.PREDICT")},
    **{
        name: f"{name}(a)"
        for name in ("AI.GENERATE", "BQ.REFRESH", "ds.fn", "project.ds.fn", "SAFE.ds.fn", "ds.SAFE.ABS")
    },
    **{name: f"{name}(a)" for name in ("SAFE.RAND", "SAFE.fn", "`safe`.ABS", "`ds.fn`", "`rand`", "`in`", "event.in")},
    **{name: f"{name}(a)" for name in ("pivot", "sets", "numeric", "offset", "week", "EMBED", "USER-DEFINED")},
    "chained": "(a).UPPER()",
    "spaced": "ds . fn (a)",
    "commented": "RAND/* */()",
    "cast by today": "CAST(a AS DATE FORMAT 'DD')",
    "cast that may fail": "CAST(a AS INT64)",
    "cast of a text to a time": "CAST(SUBSTR(a, 1) AS TIMESTAMP)",
    "cast within a cast": "SAFE_CAST(CAST(a AS FLOAT64) AS STRING)",
    "text that may be no date": "PARSE_DATE('%Y', a)",
    "text that may be no JSON": "JSON_VALUE(PARSE_JSON(a))",
    "cast by today, in brackets": "SAFE_CAST(a AS TIMESTAMP FORMAT ('DD'))",
    "array": "ARRAY_AGG(a)",
    "array in a subquery's order": "ARRAY_AGG((SELECT b FROM Closed ORDER BY b))",
    "array over any order": "ARRAY_AGG(a) OVER (PARTITION BY b)",
    "strings": "STRING_AGG(DISTINCT a, ',')",
    "strings in a part of a window": "MAX(a) OVER (PARTITION BY STRING_AGG(b) ORDER BY a)",
    "arrays": "ARRAY_CONCAT_AGG(a)",
    "rows as array": "ARRAY(SELECT b FROM Closed)",
    "any": "ANY_VALUE(a)",
    "limit": "(SELECT b FROM Closed LIMIT 1)",
    "offset": "ARRAY_LENGTH(ARRAY(SELECT b FROM Closed ORDER BY b)) + (SELECT b FROM Closed LIMIT 1 OFFSET 1)",
    **{name: f"{name}() OVER (PARTITION BY a)" for name in ("ROW_NUMBER", "RANK", "DENSE_RANK", "PERCENT_RANK")},
    **{name: f"{name}(a) OVER ()" for name in ("FIRST_VALUE", "LAST_VALUE", "LAG", "LEAD", "NTILE", "CUME_DIST")},
    "NTH_VALUE": "NTH_VALUE(a, 2 IGNORE NULLS) OVER ()",
    "rows around": "SUM(a) OVER (ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_nondeterministic_expression_is_refused(call: str) -> None:
    refusal(f"SELECT {call} AS a FROM event")
    refusal(f"SELECT a FROM event QUALIFY {call} = 1")


ALLOWED_CALLS = (
    "SAFE.SUBSTR(a, 1)", "SAFE_CAST(a AS NUMERIC(10, 2))", "EXTRACT(YEAR FROM a AT TIME ZONE 'UTC')", "COUNT(*)",
    "ARRAY_AGG(DISTINCT a IGNORE NULLS ORDER BY a LIMIT 2)", "STRING_AGG(a, ',' ORDER BY b)", "FARM_FINGERPRINT(a)",
    "ARRAY_AGG(a) OVER (ORDER BY b)", "ANY_VALUE(a HAVING MAX b)", "COUNT(*) OVER ()", "COUNT(DISTINCT a)",
    "FIRST_VALUE(a IGNORE NULLS) OVER (PARTITION BY b ORDER BY a)", "DATE_TRUNC(a, WEEK(MONDAY))", "[1, 2][OFFSET(0)]",
    "SUM(a) OVER (ORDER BY b ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)", "TIMESTAMP_SUB(a, INTERVAL 1 DAY)",
    "ARRAY(SELECT x FROM UNNEST(a) AS x ORDER BY x)", "ARRAY_TRANSFORM(a, (e, i) -> e + i)", "DATE '2026-01-01'",
    "REGEXP_EXTRACT(a, r'[[:alpha:]]\\d+')", "JSON_VALUE(a, '$.b[0]')",
    "SAFE_CAST(a AS STRUCT<b INT64, c ARRAY<STRING>>)",
    "(SELECT AS STRUCT b, c FROM Closed WHERE Closed.a = event.a)", "STRUCT(1 AS b, a)", "TO_HEX(SHA256(a))",
    "CASE WHEN a IS NULL THEN 1 ELSE IF(a, 2, 3) END", "a IN UNNEST(@kinds)", "'it\\'s'", "b'\\x00'", "1e-3", "0xFF",
    "MOD(a, 2) + DIV(a, 2)",
)  # fmt: skip


@pytest.mark.parametrize("call", ALLOWED_CALLS)
def test_a_deterministic_expression_is_allowed(call: str) -> None:
    assert validated(f"SELECT {call} AS a FROM event").output == ("a",)


def test_tables_parameters_columns_and_output_are_returned() -> None:
    text = """
        WITH Late AS (SELECT c.event_id, c.Known_At FROM closed AS c WHERE c.known_at <= @AS_OF) -- isn't
        SELECT event.Event_ID, late.known_at AS Labelled_At, COUNT(*) AS n, s.t.label
        FROM `event` JOIN late USING (event_id), UNNEST(attributes) AS attribute
        WHERE attribute.key IN UNNEST(@kinds) /* ' */ GROUP BY ALL
    """
    answer = validated(text)
    assert answer.tables == {"event", "Closed"}
    assert answer.parameters == {"as_of", "kinds"}
    assert answer.output == ("event_id", "labelled_at", "n", "label")
    assert answer.columns >= {"event_id", "known_at", "attributes", "key", "s", "t", "label"}
    assert not answer.columns & {"labelled_at", "n", "closed"}


def test_names_in_messages_are_short() -> None:
    for text in (f"SELECT a FROM {'x' * 5000}", f"SELECT {'f' * 5000}(1) AS a", f"SELECT @{'p' * 5000} AS a"):
        assert len(refusal(text)) < 250


def test_the_position_of_a_syntax_error_is_reported() -> None:
    assert "line 2, column 8" in refusal("SELECT a FROM event\n WHERE ) = 1")

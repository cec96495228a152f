"""Texts become values, and values texts, on the local BigQuery as on Google's evaluator."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rawless.connect import LOCAL_CONFIG
from rawless.datasets import googlesql
from rawless.local.stack import Stack
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters

Answers = Callable[[str, list[str]], tuple[list[str | None], list[str | None]]]
EXAMPLES = settings(max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def answers(stack: Stack) -> Answers:
    """Evaluates an expression of each `text` on the local BigQuery and on Google's evaluator."""
    warehouse, google = Warehouse(LOCAL_CONFIG, stack.bigquery), googlesql.load(lambda: None)

    def evaluate(expression: str, texts: list[str]) -> tuple[list[str | None], list[str | None]]:
        sql = f"SELECT {expression} AS answer FROM UNNEST(@texts) AS text WITH OFFSET AS place ORDER BY place"
        values = parameters({"texts": texts})
        local, on_google = warehouse.query(sql, values), google.rows(sql, values)
        return [row["answer"] for row in local], [row["answer"] for row in on_google]

    return evaluate


def assert_alike(answers: Answers, expression: str, texts: list[str]) -> list[str | None]:
    """Assert that both engines give the same answers, and return these."""
    local, on_google = answers(expression, texts)
    assert dict(zip(texts, local, strict=True)) == dict(zip(texts, on_google, strict=True))
    return on_google


NUMBERS = [
    "0x10", "0X1f", "-0x10", "+0x", "0x8000000000000000", "-0x8000000000000000", "0x1p3", "0x.8", "0x1p9999", "1_000",
    "1e3", "1.5", ".5", "5.", ".", "+5", "+-5", " 5 ", "\t5\n", "\x0b5\x0c", "\xa05", "\x1f5", "٣", "00012", "", "-",
    "1e400", "-1e400", "1e-400", "nan", "-NaN", "inf", "+Infinity", "infinit", "1f", "1 2", "1e", "1e+", "1,000",
    "9223372036854775807", "9223372036854775808", "-9223372036854775808", "9" * 5000, "9007199254740993",
    "99999999999999999999999999999.5", "0.79999999999999993", "5e-324", "123456789012345678", "-0.0", "1e15", "0.00001",
    "1e29", "1.0000000005",
]  # fmt: skip
BOOLEANS = ["true", "TRUE", "tRuE", "T", "t", "1", "0", "yes", "on", " true", "true\n", "false", "False", "f", ""]
TIMES = [
    "2026-01-02", "2026-1-2", "26-1-2", " 2026-01-02", "2026-01-02 ", "2026/01/02", "20260102", "2026-02-30", "epoch",
    "infinity", "now", "2026-01-02 10:11:12", "2026-01-02T10:11:12.5", "2026-01-02 1:2:3", "2026-01-02 10:11",
    "2026-01-02 10:11:12.123456", "2026-01-02 10:11:12.", "2026-01-02 24:00:00", "2026-01-02 10:11:60",
    "2026-01-02 10:11:12Z", "2026-01-02t10:11:12z", "2026-01-02 10:11:12+2", "2026-01-02 10:11:12-15",
    "2026-01-02 10:11:12 Nowhere", "2026-01-02 10:60:12", "2026-01-02 10:11:61", "0001-01-01 00:00:00+01",
    "2026-01-02 10:11:12 Z", "2026-01-02 10:11:12+02", "2026-01-02 10:11:12+02:30", "2026-01-02 10:11:12+0230",
    "2026-01-02 10:11:12 UTC", "2026-01-02 10:11:12 Europe/Berlin", "2026-01-02 10:11:12 europe/berlin",
    "2026-01-02 UTC", "2026-01-02+02", "2026-01-02  10:11:12", "2026-01-02 BC", "10:11:12", "1:2:3", "10:11",
    "10:11:12.123450", "24:00:00", "10:11:12Z", "", "0000-01-01", "10000-01-01", "0001-01-01",
]  # fmt: skip
# Google refuses some of these as NUMERIC, such as .7e-9.
TEXT = st.text("0123456789.+-eExXabf_ \t", max_size=8).filter(lambda text: "9" not in text.lower().partition("e-")[2])
READ = "TO_JSON_STRING(STRUCT({}))".format(
    ", ".join(f"SAFE_CAST(text AS {kind}) AS `{kind}`" for kind in ("FLOAT64", "INT64", "NUMERIC", "BOOL"))
)


@EXAMPLES
@example(NUMBERS + BOOLEANS)
@given(st.lists(TEXT, min_size=100, max_size=200, unique=True))
def test_numbers_and_booleans_are_read_from_texts_as_google_does(answers: Answers, texts: list[str]) -> None:
    assert_alike(answers, READ, texts)


def test_times_are_read_from_texts_as_google_does(answers: Answers) -> None:
    for kind in ("DATE", "DATETIME", "TIMESTAMP", "TIME"):
        assert_alike(answers, f"CAST(SAFE_CAST(text AS {kind}) AS STRING)", TIMES)


FINITE = st.floats(allow_nan=False, allow_infinity=False).map(repr)


@EXAMPLES
@example([*NUMBERS, "2.5", "-2.5"])
@given(st.lists(FINITE, min_size=100, max_size=200, unique=True))
def test_numbers_are_written_as_google_does(answers: Answers, texts: list[str]) -> None:
    for kind in ("FLOAT64", "NUMERIC", "INT64"):
        assert_alike(answers, f"CAST(SAFE_CAST(text AS {kind}) AS STRING)", texts)
        assert_alike(answers, f"TO_JSON_STRING(SAFE_CAST(text AS {kind}))", texts)
        assert_alike(answers, f"CAST(SAFE_CAST(SAFE_CAST(text AS FLOAT64) AS {kind}) AS STRING)", texts)


@EXAMPLES
@example(["\u2028", "\u2029", "<>&'\"\\/", "\b\f\n\r\t\x01\x1f\x7f", "é😀", ""])
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=50, unique=True))
def test_texts_and_bytes_are_written_as_google_does(answers: Answers, texts: list[str]) -> None:
    assert_alike(answers, "TO_JSON_STRING(text)", texts)
    assert_alike(answers, "TO_JSON_STRING([text, 'a'])", texts)
    assert_alike(answers, "TO_JSON_STRING(STRUCT(text, CAST(text AS BYTES) AS bytes))", texts)
    assert_alike(answers, "CAST(CAST(text AS BYTES) AS STRING)", texts)


WHOLE = """TO_JSON_STRING(STRUCT(
    [SAFE_CAST(text AS TIMESTAMP)] AS `a b`, STRUCT(SAFE_CAST(text AS DATETIME) AS inner_time) AS part,
    SAFE_CAST(text AS DATE) AS day, SAFE_CAST(text AS TIME) AS time, text IS NULL AS missing,
    CAST(NULL AS STRING) AS nothing, [1.5, 2.0] AS numbers, JSON '{"b": 1.0, "a": [true, "1"]}' AS json
))"""
TIME_OF_DAY = st.datetimes().map(lambda time: time.isoformat(" "))


@EXAMPLES
@example(TIMES)
@given(st.lists(TIME_OF_DAY, min_size=100, max_size=200, unique=True))
def test_times_are_written_as_google_does(answers: Answers, texts: list[str]) -> None:
    assert_alike(answers, WHOLE, texts)
    for kind in ("DATETIME", "TIMESTAMP"):
        assert_alike(answers, f"STRING(SAFE_CAST(text AS {kind}))", texts)


def test_a_text_that_is_no_value_fails_a_cast(answers: Answers, stack: Stack) -> None:
    with pytest.raises(Exception, match="refused the query while it read rows"):
        Warehouse(LOCAL_CONFIG, stack.bigquery).query("SELECT CAST(text AS BOOL) FROM UNNEST(['T']) AS text")

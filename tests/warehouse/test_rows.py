"""Rows: which ones BigQuery accepts, and their conversion to Arrow."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rawless.warehouse.rows import (
    EmbeddingRow,
    EncoderRow,
    PredictionRow,
    RejectionRow,
    arrow_bytes,
    is_valid,
    size_bucket,
    to_arrow,
)
from rawless.warehouse.tables import table

MakeRow = Callable[..., EmbeddingRow]
AT = datetime(2026, 1, 2, tzinfo=UTC)


def vector(*values: float) -> npt.NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def test_a_complete_row_is_valid(make_row: MakeRow) -> None:
    assert is_valid(make_row())


def test_nullable_columns_may_be_missing(make_row: MakeRow) -> None:
    assert is_valid(make_row(subject_key=None, subject_key_id=None, attributes=()))
    assert is_valid(RejectionRow("message", None, None, None, "1", "parse", "bad_event_id", "<100", None, AT))
    assert is_valid(EncoderRow("minilm", "1.0.0", "f" * 64, "{}", True, AT))
    assert is_valid(PredictionRow("message", "e-1", None, None, None, "topic", 1, (), "low_confidence", AT))


@pytest.mark.parametrize(("number", "good"), [(0.25, True), (float("nan"), False), (float("inf"), False)])
def test_a_probability_is_a_finite_number(number: float, good: bool) -> None:
    row = PredictionRow("message", "e-1", None, None, None, "topic", 1, (("app", number),), None, AT)

    assert is_valid(row) is good
    if good:
        assert to_arrow([row])["probabilities"].to_pylist() == [[{"class": "app", "probability": number}]]


@pytest.mark.parametrize(
    "embedding",
    [
        vector(1, float("nan")),
        vector(float("inf")),
        vector(-float("inf"), 1),
        vector(),
        vector(1, 2).reshape(1, 2),
        np.array(1.0, dtype=np.float32),
    ],
    ids=["nan", "inf", "-inf", "empty", "matrix", "number"],
)
def test_an_invalid_vector_is_refused(make_row: MakeRow, embedding: Any) -> None:
    assert not is_valid(make_row(embedding=embedding))


@pytest.mark.parametrize("name", ["occurred_at", "logged_at"])
def test_a_time_without_a_zone_is_refused(make_row: MakeRow, name: str) -> None:
    assert not is_valid(make_row(**{name: datetime(2026, 1, 2)}))  # noqa: DTZ001


@pytest.mark.parametrize(("year", "month", "day", "hours"), [(1, 1, 1, 14), (9999, 12, 31, -14)])
def test_a_time_that_utc_cannot_represent_is_refused_without_an_exception(
    make_row: MakeRow, year: int, month: int, day: int, hours: int
) -> None:
    at = datetime(year, month, day, 12, tzinfo=timezone(timedelta(hours=hours)))
    assert not is_valid(make_row(occurred_at=at))
    assert is_valid(make_row(occurred_at=at.replace(tzinfo=UTC)))


@pytest.mark.parametrize(
    "name",
    [
        column.name
        for column in table("embedding_event_v1").columns
        if column.mode == "REQUIRED" or column.name == "embedding"
    ],
)
def test_a_null_in_a_required_column_is_refused(make_row: MakeRow, name: str) -> None:
    assert not is_valid(make_row(**{name: None}))


@pytest.mark.parametrize("name", [column.name for column in table("rejection_v1").columns if column.mode == "REQUIRED"])
def test_a_rejection_needs_its_required_columns_too(name: str) -> None:
    row = RejectionRow("message", None, None, None, "1", "parse", "bad_event_id", "<100", None, AT)
    assert not is_valid(replace(row, **{name: None}))


@pytest.mark.parametrize(
    "text", ["a\0b", "a\nb", "\x1b[31m", "\x7f", "\ud800", "\u202e", "\u2028", "\ufffe"], ids=ascii
)
def test_text_with_control_characters_or_surrogates_is_refused(make_row: MakeRow, text: str) -> None:
    assert not is_valid(make_row(event_id=text))
    assert not is_valid(make_row(attributes=(("channel", text),)))
    assert not is_valid(make_row(attributes=((text, "chat"),)))


@pytest.mark.parametrize("text", ["", "a b", "é€", "東京", "😀"])
def test_printable_text_of_any_language_is_valid(make_row: MakeRow, text: str) -> None:
    assert is_valid(make_row(attributes=(("channel", text),)))


@pytest.mark.parametrize("value", [b"bytes", 1.5, object(), ["list"], {"a": 1}], ids=lambda value: type(value).__name__)
def test_a_value_of_another_type_is_refused(make_row: MakeRow, value: object) -> None:
    assert not is_valid(make_row(event_id=value))


finite = arrays.arrays(
    np.float32, st.integers(1, 20), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
)
printable = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=12)
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
attributes = st.lists(st.tuples(printable, printable), max_size=3).map(tuple)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    vectors=st.lists(finite, min_size=1, max_size=5),
    text=printable,
    at=moments,
    pairs=attributes,
    truncated=st.booleans(),
)
def test_arrow_contains_the_exact_values(
    make_row: MakeRow,
    vectors: list[npt.NDArray[np.float32]],
    text: str,
    at: datetime,
    pairs: tuple[tuple[str, str], ...],
    truncated: bool,
) -> None:
    fields = {"event_id": text, "occurred_at": at, "attributes": pairs, "truncated": truncated}
    rows = [make_row(embedding=each, **fields) for each in vectors]
    assert all(is_valid(row) for row in rows)
    batch = to_arrow(rows)
    batch.validate(full=True)
    assert batch.nbytes <= sum(map(arrow_bytes, rows))
    assert batch.schema == table("embedding_event_v1").arrow_schema
    for row, found in zip(rows, batch.to_pylist(), strict=True):
        assert found.pop("embedding") == [float(each) for each in row.embedding]
        assert found.pop("attributes") == [{"key": key, "value": value} for key, value in pairs]
        assert found == {name: getattr(row, name) for name in found}


def test_vectors_of_a_batch_may_differ_in_length_and_keep_their_rows(make_row: MakeRow) -> None:
    batch = to_arrow([make_row(embedding=vector(1, 2, 3)), make_row(embedding=vector(4))])
    assert batch.column("embedding").to_pylist() == [[1, 2, 3], [4]]


def test_fields_that_are_not_columns_are_not_sent(make_row: MakeRow) -> None:
    assert not {"message_id", "size", "TABLE"} & set(to_arrow([make_row()]).schema.names)


@pytest.mark.parametrize(
    ("size", "bucket"),
    [
        (0, "<100"),
        (99, "<100"),
        (100, "<1000"),
        (999, "<1000"),
        (1000, "<10000"),
        (10**7 - 1, "<10000000"),
        (10**7, "<100000000"),
        (10**8 - 1, "<100000000"),
        (10**8, ">=100000000"),
        (10**12, ">=100000000"),
    ],
)
def test_a_size_is_stored_as_a_power_of_ten(size: int, bucket: str) -> None:
    assert size_bucket(size) == bucket

"""Mistakes that the local BigQuery does not notice are caught by Google's analyzer or by its evaluator."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from rawless.errors import UserError
from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.rows import EmbeddingRow

pytestmark = pytest.mark.full
AT = datetime(2026, 1, 10, 12, tzinfo=UTC)


def event(event_id: str, **fields: Any) -> EmbeddingRow:
    own: dict[str, Any] = {
        "stream": "message", "event_id": event_id, "subject_key": "alice", "subject_key_id": "k1", "occurred_at": AT,
        "logged_at": AT, "origin": "ingest", "caller_key": None, "modality": "text", "encoder": "minilm",
        "encoder_version": "1.0.0", "encoder_fingerprint": "f1", "embedding": np.ones(2, np.float32),
        "truncated": False, "attributes": (),
    }  # fmt: skip
    return EmbeddingRow(**own | fields)


MISTAKES = {
    "a table named like a column": (
        "SELECT embedding_event_v1.stream, stream.encoder FROM `{events}.embedding_event_v1` AS stream"
        " WHERE stream.occurred_at < @at",
        "Unrecognized name: embedding_event_v1",
    ),
    "a field of a column that is named like the table": (
        "SELECT row.stream FROM `{events}.rejection_v1` AS row WHERE row.rejected_at < @at ORDER BY stream.encoder",
        "Cannot access field encoder",
    ),
    "no filter on the partitions": (
        "SELECT COUNT(*) AS n FROM `{events}.embedding_event_v1` WHERE stream = 'message'",
        "without a filter over column\\(s\\) 'occurred_at'",
    ),
    "a filter on the partitions that depends on rows": (
        "SELECT COUNT(*) AS n FROM `{events}.embedding_event_v1` WHERE occurred_at = logged_at",
        "without a filter over column\\(s\\) 'occurred_at'",
    ),
    "a parameter of another type": (
        "SELECT COUNT(*) AS n FROM `{events}.rejection_v1` WHERE stage = @number",
        "No matching signature",
    ),
    "a function that BigQuery has not": (
        "SELECT LIST_SUM([1, 2]) AS total",
        "Function not found: LIST_SUM",
    ),
}


@pytest.mark.parametrize(("statement", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_before_and_while_it_runs(evaluated: Warehouse, statement: str, words: str) -> None:
    sql = statement.format(events=evaluated.dataset_id("events"))
    given = parameters({name: value for name, value in {"at": AT, "number": 2026}.items() if f"@{name}" in sql})

    with pytest.raises(UserError, match=words):
        evaluated.dry_run(sql, given)
    with pytest.raises(UserError, match=words):
        evaluated.query(sql, given)


def test_a_filter_on_the_partitions_is_found_wherever_it_is(evaluated: Warehouse) -> None:
    append_all(evaluated, [event("a"), event("b")])
    events = evaluated.table_id("embedding_event_v1")
    joined = (
        f"WITH few AS (SELECT event_id FROM `{events}` AS one WHERE one.occurred_at BETWEEN @at AND @at)"
        f" SELECT COUNT(*) AS n FROM few INNER JOIN `{events}` AS other USING (event_id)"
        " WHERE other.occurred_at >= TIMESTAMP_SUB(@at, INTERVAL 1 DAY) AND other.stream = 'message'"
    )

    assert evaluated.query(joined, parameters({"at": AT})) == [{"n": 2}]


def test_what_the_engines_spell_differently_differs(warehouse: Warehouse, evaluated: Warehouse) -> None:
    """The local BigQuery writes an array of floats otherwise, as decision 3 says."""
    answers = [engine.query("SELECT TO_JSON_STRING([1.0, 0.5]) AS text") for engine in (warehouse, evaluated)]

    assert answers[0] != answers[1]

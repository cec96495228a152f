"""Find the nearest neighbours of the demo's events, in SQL."""

from collections.abc import Iterable
from typing import Any

from rawless.demo.digits import DIGITS
from rawless.demo.digits import STREAM as DIGIT_STREAM
from rawless.demo.texts import STREAM as TEXT_STREAM
from rawless.warehouse.client import Warehouse

_NEIGHBOURS = """
WITH event AS (SELECT event_id, embedding FROM events.embedding_event(TIMESTAMP '1970-01-01', TIMESTAMP '2100-01-01')
  WHERE stream = '{stream}' AND superseded_at IS NULL),
pair AS (
  SELECT query.event_id AS query_id, other.event_id,
    ROUND(1 - COSINE_DISTANCE(query.embedding, other.embedding), 3) AS similarity
  FROM event AS query, event AS other
  WHERE query.event_id IN ({event_ids}) AND other.event_id != query.event_id)
SELECT query_id, event_id, similarity FROM pair
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY query_id ORDER BY similarity DESC, event_id) <= {count}
ORDER BY query_id, similarity DESC, event_id
"""
_TEXTS = ("licence-005", "reference-040")
_DIGITS = range(0, DIGITS, 6)


def text_neighbours(warehouse: Warehouse) -> dict[str, list[dict[str, Any]]]:
    """Return the three nearest neighbours of two texts: a list of event_id and similarity for each text's id."""
    return _nearest(warehouse, str(TEXT_STREAM["stream"]), _TEXTS, 3)


def same_digit(warehouse: Warehouse, classes: list[int]) -> dict[str, int]:
    """Count, for a sample of digits, how many have a nearest neighbour that shows the same digit.

    `classes` holds the digit of each upload, by its number. Returns the size of the sample as `asked` and the count as
    `same`.
    """
    event_ids = [f"digit-{number:04d}" for number in _DIGITS]
    nearest = {
        event_id: next((row["event_id"] for row in rows if row["event_id"].startswith("digit-")), None)
        for event_id, rows in _nearest(warehouse, str(DIGIT_STREAM["stream"]), event_ids, 5).items()
    }
    same = sum(
        other is not None and classes[int(event_id[-4:])] == classes[int(other[-4:])]
        for event_id, other in nearest.items()
    )
    return {"asked": len(nearest), "same": same}


def _nearest(
    warehouse: Warehouse, stream: str, event_ids: Iterable[str], count: int
) -> dict[str, list[dict[str, Any]]]:
    quoted = ", ".join(f"'{event_id}'" for event_id in event_ids)
    neighbours: dict[str, list[dict[str, Any]]] = {}
    for row in warehouse.query(_NEIGHBOURS.format(stream=stream, event_ids=quoted, count=count)):
        neighbours.setdefault(row.pop("query_id"), []).append(row)
    return neighbours

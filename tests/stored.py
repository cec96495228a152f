"""What a warehouse has of a stream."""

from rawless.warehouse.client import Warehouse


def count_rows(warehouse: Warehouse, stream: str) -> int:
    """Return how many rows of embeddings a stream has."""
    (row,) = warehouse.query(f"SELECT COUNT(*) AS n FROM embedding_event_v1 WHERE stream = '{stream}'")
    return int(row["n"])


def count_events(warehouse: Warehouse, stream: str) -> int:
    """Return how many events of a stream a reader sees."""
    between = "TIMESTAMP '1970-01-01', TIMESTAMP '2100-01-01'"
    (row,) = warehouse.query(f"SELECT COUNT(*) AS n FROM events.embedding_event({between}) WHERE stream = '{stream}'")
    return int(row["n"])

"""Estimate what a snapshot reads on BigQuery and what that costs, from the widths of columns."""

from dataclasses import dataclass

from rawless.warehouse.tables import table

PRICE_PER_TIB = 6.25
"""US dollars per TiB read on demand, as published for the US in 2026."""
TIB = 2**40
_FIXED_BYTES = {"TIMESTAMP": 8, "FLOAT64": 8, "INT64": 8, "BOOL": 1}
_LENGTHS = {
    "event_id": 36,
    "subject_key": 64,
    "subject_key_id": 16,
    "caller_key": 16,
    "encoder_fingerprint": 64,
    "attributes": 24,
}
"""Typical characters of text columns; all others are about as long as a name."""
_NAME_LENGTH = 12


@dataclass(frozen=True)
class ReadEstimate:
    """Bytes that building a snapshot reads."""

    metadata: int
    """For all deliveries of the stream, without vectors."""
    vectors: int
    """For the deliveries on the days of the selected rows, with vectors, which are read once."""

    @property
    def bytes(self) -> int:
        """Return the sum."""
        return self.metadata + self.vectors

    @property
    def dollars(self) -> float:
        """Return the cost on demand, in US dollars."""
        return dollars(self.bytes)


def dollars(size: int) -> float:
    """Return what reading so many bytes costs on demand, in US dollars."""
    return size / TIB * PRICE_PER_TIB


def column_bytes(name: str, dimension: int) -> int:
    """Return the bytes that a column of `embedding_event_v1` takes in a row, as BigQuery counts them."""
    (column,) = [column for column in table("embedding_event_v1").columns if column.name == name]
    if name == "embedding":
        return 8 * dimension
    return _FIXED_BYTES.get(column.type, 2 + _LENGTHS.get(name, _NAME_LENGTH))


def estimate(deliveries: int, dimension: int, share: float = 1.0) -> ReadEstimate:
    """Estimate the bytes read for the deliveries of a stream, a share of which is on the days of the selected rows."""
    names = [column.name for column in table("embedding_event_v1").columns]
    metadata = sum(column_bytes(name, dimension) for name in names if name != "embedding")
    selected = round(deliveries * share)
    return ReadEstimate(deliveries * metadata, selected * (metadata + column_bytes("embedding", dimension)))


def format_bytes(size: int) -> str:
    """Return a size in the unit that suits it, as in 1.5 GB."""
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "KB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"

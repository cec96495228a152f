"""What a snapshot reads on BigQuery, and what that costs: from the widths of columns, where nothing is billed."""

from dataclasses import dataclass

from rawless.warehouse.tables import table

PRICE_PER_TIB = 6.25
"""US dollars for a TiB read on demand, as published for the US in 2026."""
TIB = 2**40
_FIXED = {"TIMESTAMP": 8, "FLOAT64": 8, "INT64": 8, "BOOL": 1}
_LENGTHS = {"event_id": 36, "subject_key": 64, "subject_key_id": 16, "encoder_fingerprint": 64, "attributes": 24}
"""Characters of texts; all others are about as long as a name."""
_NAME = 12


@dataclass(frozen=True)
class Reading:
    """Bytes that building a snapshot reads."""

    metadata: int
    """Of all deliveries of the stream, without their vectors."""
    vectors: int
    """Of the deliveries on the days of the selected rows, with their vectors: once."""

    @property
    def bytes(self) -> int:
        """Of both."""
        return self.metadata + self.vectors

    @property
    def dollars(self) -> float:
        """At the on-demand price."""
        return dollars(self.bytes)


def dollars(read: int) -> float:
    """US dollars for so many bytes."""
    return read / TIB * PRICE_PER_TIB


def width(name: str, dimension: int) -> int:
    """Bytes of a column of `embedding_event_v1` in a row, as BigQuery counts them."""
    (column,) = [each for each in table("embedding_event_v1").columns if each.name == name]
    if name == "embedding":
        return 8 * dimension
    return _FIXED.get(column.type, 2 + _LENGTHS.get(name, _NAME))


def reading(deliveries: int, dimension: int, share: float = 1.0) -> Reading:
    """For so many deliveries of a stream, of which a share lies in the partitions of the selected rows."""
    names = [column.name for column in table("embedding_event_v1").columns]
    metadata = sum(width(name, dimension) for name in names if name != "embedding")
    near = round(deliveries * share)
    return Reading(deliveries * metadata, near * (metadata + width("embedding", dimension)))


def told(size: int) -> str:
    """Bytes as a person reads them."""
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "KB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"

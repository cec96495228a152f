"""The columns of the working tables of a build, with their types."""

from collections.abc import Mapping
from typing import Literal

Role = Literal["event", "example", "mark"]
ATTRIBUTES = "ARRAY<STRUCT<key STRING, value STRING>>"
_KNOWN = {
    "event_id": "STRING", "person_key": "STRING", "occurred_at": "TIMESTAMP", "logged_at": "TIMESTAMP",
    "attributes": ATTRIBUTES, "origin": "STRING", "row_hash": "INT64", "is_tied": "BOOL", "encoder_hash": "INT64",
    "is_conflicting": "BOOL",
}  # fmt: skip
COLUMNS: Mapping[Role, Mapping[str, str]] = {
    "event": _KNOWN,
    "example": {
        "example_id": "STRING", "side": "STRING", **_KNOWN, "label": "STRING", "label_value": "FLOAT64",
        "labelled_at": "TIMESTAMP", "removed_by": "INT64",
    },
    "mark": {"example_id": "STRING", "removed_by": "INT64"},
}  # fmt: skip
"""`example_id` of an example is NULL if it is the id of its event."""

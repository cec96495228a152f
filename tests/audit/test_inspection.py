"""A link to an item is printed only for a known event, and only after the inspection is recorded."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from rawless.audit.inspection import inspect
from rawless.audit.reason_codes import InspectionReason
from rawless.errors import UserError
from rawless.events.stream import Stream
from rawless.warehouse.account import user_name
from rawless.warehouse.append import StorageWriter
from rawless.warehouse.client import Warehouse
from rawless.warehouse.rows import EmbeddingRow, RejectionRow

NOW = datetime.now(UTC)
REASON = InspectionReason.MISCLASSIFICATION
MARKER = "Rosalind-0815-Quibble-Zanzibar"


def _stream(**changed: Any) -> Stream:
    fields = {
        "stream": "message", "modality": "text", "encoders": ["minilm@1.0.0"],
        "event_id": {"pattern": "[a-z0-9/?.#=]+"},
        "inspect": {"url": "https://tickets.example.com/messages/{event_id}?from=rawless"},
    }  # fmt: skip
    return Stream.model_validate({**fields, **changed})


@pytest.fixture
def known(warehouse: Warehouse) -> Warehouse:
    """A warehouse with an embedding and a rejection."""
    embedding = EmbeddingRow(
        "message", "a/1?x=#2", None, None, NOW, NOW, "ingest", None, "text", "minilm", "1.0.0", "0" * 64,
        np.zeros(2, np.float32), False, (),
    )  # fmt: skip
    rejection = RejectionRow("message", "rejected1", None, None, "1", "parse", "empty_text", "<1KB", None, NOW)
    writer = StorageWriter(warehouse)
    assert writer.append([embedding]) == []
    assert writer.append([rejection]) == []
    return warehouse


def test_a_link_is_returned_with_a_record_of_who_asked_for_it_and_why(known: Warehouse) -> None:
    embedded = inspect(known, _stream(), "a/1?x=#2", REASON, "PRIV-1")
    rejected = inspect(known, _stream(), "rejected1", InspectionReason.REJECTION, "PRIV-2")

    assert embedded.link == "https://tickets.example.com/messages/a%2F1%3Fx%3D%232?from=rawless"
    assert rejected.link == "https://tickets.example.com/messages/rejected1?from=rawless"
    rows = {row["inspection_id"]: row for row in known.list_rows("inspection_v1")}
    row = rows[embedded.inspection_id]
    assert (row["stream"], row["event_id"], row["reason"]) == ("message", "a/1?x=#2", "misclassification")
    assert (row["ticket"], row["inspected_by"]) == ("PRIV-1", user_name())
    assert abs(row["inspected_at"] - datetime.now(UTC)).total_seconds() < 60
    assert len(rows) == 2


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "without a source system": ({"inspect": None}, "rejected1", "message names no source system: add inspect: {url: "),
    "of another form": ({}, f"{MARKER} is my name", "The event id does not match the pattern of message"),
    "of dots": ({}, "..", "The event id does not match the pattern of message"),
    "that is unknown": ({}, "unknown1", "neither an embedding nor a rejection of this event of message"),
    "of another stream": (
        {"stream": "other"},
        "rejected1",
        "neither an embedding nor a rejection of this event of other",
    ),
}


def test_any_other_event_is_refused_without_its_id(known: Warehouse) -> None:
    for changed, event_id, sentence in REFUSED.values():
        with pytest.raises(UserError) as refused:
            inspect(known, _stream(**changed), event_id, REASON, "PRIV-1")
        assert sentence in str(refused.value)
        assert event_id not in str(refused.value).replace("…", "")
    assert known.list_rows("inspection_v1") == []


def test_there_is_no_link_without_a_record(known: Warehouse) -> None:
    elsewhere = replace(known, config=known.config.model_copy(update={"audit": "not_there"}))

    with pytest.raises(UserError, match="BigQuery refused the query"):
        inspect(elsewhere, _stream(), "rejected1", REASON, "PRIV-1")

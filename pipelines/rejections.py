"""Rejections: the one shape of failure, and how it is counted."""

from datetime import datetime
from typing import Literal

from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput

from rawless.events.event import Event, Known, Refusal
from rawless.privacy import Reason, Stage
from rawless.warehouse.rows import EmbeddingRow, RejectionRow, size_bucket

REJECTED: Literal["rejected"] = "rejected"
"""The tag of every step's second output."""
Refused = TaggedOutput[Literal["rejected"], RejectionRow]
NAMESPACE = "rawless"


def namespace(encoder: str | None) -> str:
    """Where a step counts: for one encoder (name@version), or for all alike."""
    return f"{NAMESPACE}/{encoder}" if encoder else NAMESPACE


def refusal_of(what: Event | EmbeddingRow, reason: Reason) -> Refusal:
    """The refusal of a checked event, or of the row that was made of one: all its ids are valid."""
    known = Known(what.event_id, what.subject_key, what.subject_key_id)
    return Refusal(known, reason, what.size, what.message_id)


def rejection(
    stream: str, refusal: Refusal, stage: Stage, now: datetime, fingerprint: str | None = None
) -> RejectionRow:
    """The row that tells a refusal."""
    known: Known = refusal.known
    return RejectionRow(
        stream=stream,
        event_id=known.event_id,
        subject_key=known.subject_key,
        subject_key_id=known.subject_key_id,
        message_id=refusal.message_id,
        stage=stage.value,
        reason=refusal.reason.value,
        size_bucket=size_bucket(refusal.size),
        encoder_fingerprint=fingerprint,
        rejected_at=now,
    )


def count_rejection(stage: Stage, reason: Reason, encoder: str | None = None) -> None:
    """One more rejection, counted by stage and reason."""
    Metrics.counter(namespace(encoder), f"rejected.{stage.value}.{reason.value}").inc()

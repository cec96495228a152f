"""Rejections: the row that every step makes of a failed event, and the counter that it increments."""

from datetime import datetime
from typing import Literal

from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput

from rawless.events.event import Rejection
from rawless.privacy import Reason, Stage
from rawless.warehouse.rows import RejectionRow, size_bucket

REJECTED: Literal["rejected"] = "rejected"
"""The tag of every step's second output."""
RejectedOutput = TaggedOutput[Literal["rejected"], RejectionRow]
NAMESPACE = "rawless"


def namespace(encoder: str | None) -> str:
    """Return the metrics namespace of one encoder (name@version); for None, that of metrics of the whole job."""
    return f"{NAMESPACE}/{encoder}" if encoder else NAMESPACE


def rejection_row(
    stream: str,
    rejection: Rejection,
    stage: Stage,
    *,
    message_id: str,
    size: int,
    now: datetime,
    fingerprint: str | None = None,
) -> RejectionRow:
    """Return the row that records a rejection. `size` is that of the message or payload, in bytes."""
    return RejectionRow(
        stream=stream,
        event_id=rejection.ids.event_id,
        subject_key=rejection.ids.subject_key,
        subject_key_id=rejection.ids.subject_key_id,
        message_id=message_id,
        stage=stage.value,
        reason=rejection.reason.value,
        size_bucket=size_bucket(size),
        encoder_fingerprint=fingerprint,
        rejected_at=now,
    )


def count_rejection(stage: Stage, reason: Reason, encoder: str | None = None) -> None:
    """Increment the counter of rejections for a stage and a reason."""
    Metrics.counter(namespace(encoder), f"rejected.{stage.value}.{reason.value}").inc()

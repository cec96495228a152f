"""Rejections: the row that every step makes of a failed event, and the name of its counter."""

from datetime import datetime

from rawless.events.event import Rejection
from rawless.metering import table
from rawless.privacy import Reason, Stage
from rawless.warehouse.rows import RejectionRow, size_bucket

REJECTED = f"{table.REJECTED.name}."
"""How the name of a counter of rejections starts."""


def counter(stage: Stage, reason: Reason) -> str:
    """Return the name of the counter of rejections for a stage and a reason."""
    return f"{REJECTED}{stage.value}.{reason.value}"


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

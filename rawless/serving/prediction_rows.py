"""What was served, as a row of the opt-in log."""

from datetime import UTC, datetime

from rawless.events.event import Event
from rawless.serving.responses import Answer
from rawless.serving.rules import Abstention
from rawless.warehouse.rows import PredictionRow


def prediction_row(event: Event, answer: Answer, abstention: Abstention | None) -> PredictionRow | None:
    """What a head said of the event, or why that was not told; None for a number, which the table does not hold."""
    if answer.probabilities is None:
        return None
    told = {} if abstention else answer.probabilities
    return PredictionRow(
        stream=event.stream,
        event_id=event.event_id,
        subject_key=event.subject_key,
        subject_key_id=event.subject_key_id,
        head=answer.model.head,
        version=answer.model.version,
        probabilities=tuple(told.items()),
        abstention=abstention.value if abstention else None,
        predicted_at=datetime.now(UTC),
    )

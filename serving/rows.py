"""The rows of the opt-in log: what was served, as an embedding event and as a prediction."""

from datetime import UTC, datetime

from encoders.encoder import Encoded
from encoders.spec import EncoderSpec
from events.event import Event
from serving.answers import Answer
from serving.rules import Abstention
from sql.rows import EmbeddingRow, PredictionRow


def embedding_row(event: Event, spec: EncoderSpec, fingerprint: str, encoded: Encoded) -> EmbeddingRow:
    """As ingest would log the event."""
    return EmbeddingRow(
        stream=event.stream,
        event_id=event.event_id,
        subject_key=event.subject_key,
        subject_key_id=event.subject_key_id,
        occurred_at=event.occurred_at,
        logged_at=datetime.now(UTC),
        modality=spec.modality,
        encoder=spec.name,
        encoder_version=spec.version,
        encoder_fingerprint=fingerprint,
        embedding=encoded.vector,
        truncated=encoded.truncated,
        attributes=event.attributes,
        message_id=event.message_id,
        size=event.size,
    )


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

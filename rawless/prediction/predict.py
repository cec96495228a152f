"""The predict step: vectors to rows of predictions, by a head. It abstains as services do."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import isfinite
from threading import Lock
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from rawless.heads.artefact import StoredHead
from rawless.heads.session import HeadSession
from rawless.heads.signature import FEATURES
from rawless.prediction.chosen_head import ChosenHead
from rawless.serving.rules import Rules
from rawless.steps.elements import EncodedEvent, PredictedEvent
from rawless.steps.meter import Meter
from rawless.steps.step import Step
from rawless.warehouse.rows import PredictionRow

BATCH_ROWS = 256
"""Vectors that a head is given at once."""
_sessions: dict[str, HeadSession] = {}
_opening = Lock()

Matrix = npt.NDArray[np.float32]
Probabilities = dict[str, float]


class Outcome:
    """What a head answers for one vector: probabilities, unless it abstains."""

    __slots__ = ("abstention", "probabilities")

    def __init__(self, probabilities: Probabilities, abstention: str | None) -> None:
        self.probabilities = {} if abstention else probabilities
        self.abstention = abstention


def open_session(head: StoredHead) -> HeadSession:
    """Return the process's session of a head: some runners create their steps again for every few events."""
    digest = head.manifest.digest
    with _opening:
        if digest not in _sessions:
            _sessions[digest] = HeadSession(*head)
        return _sessions[digest]


def outcomes(session: HeadSession, rules: Rules, vectors: Matrix, features: Matrix | None = None) -> Iterator[Outcome]:
    """Yield what a head answers for each row of vectors, of shape (rows, dimension), and of features.

    It does not abstain from probabilities that are not finite, so that the warehouse's check refuses their row.
    """
    inputs = {"embedding": vectors} if features is None else {"embedding": vectors, FEATURES: features}
    (answered,) = session.answer(**inputs).values()
    in_domain = session.are_in_domain(vectors)
    are_finite = [all(map(isfinite, row)) for row in answered.tolist()]
    for position, row in enumerate(answered.tolist()):
        probabilities = dict(zip(session.manifest.classes, row, strict=True))
        is_in_domain = None if in_domain is None else bool(in_domain[position])
        abstention = rules.check_answer(probabilities, is_in_domain) if are_finite[position] else None
        yield Outcome(probabilities, abstention.value if abstention else None)


class Predict(Step[EncodedEvent, PredictedEvent]):
    """Gives vectors to a head. The outputs are rows of predictions; the rows of the embeddings are not written."""

    output: ClassVar[type[PredictedEvent]] = PredictedEvent

    def __init__(self, head: ChosenHead, rules: Rules) -> None:
        self._head, self._rules = head, rules

    def setup(self, meter: Meter) -> None:
        """See `Step.setup`."""
        self._session = open_session(self._head.stored)
        self.start()

    def start(self) -> None:
        """See `Step.start`."""
        self._waiting: list[EncodedEvent] = []

    def process(self, element: EncodedEvent) -> Iterator[PredictedEvent]:
        """See `Step.process`."""
        self._waiting.append(element)
        if len(self._waiting) >= BATCH_ROWS:
            yield from self.finish()

    def finish(self) -> Iterator[PredictedEvent]:
        """See `Step.finish`."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            yield from self._predict(waiting)

    def _predict(self, events: Sequence[EncodedEvent]) -> Iterator[PredictedEvent]:
        vectors = np.stack([event.row.embedding for event in events]).astype(np.float32, copy=False)
        manifest, now = self._session.manifest, datetime.now(UTC)
        for event, outcome in zip(events, outcomes(self._session, self._rules, vectors), strict=True):
            row = PredictionRow(
                stream=event.row.stream,
                event_id=event.row.event_id,
                subject_key=event.row.subject_key,
                subject_key_id=event.row.subject_key_id,
                caller_key=None,
                head=manifest.head,
                version=manifest.version,
                probabilities=tuple(outcome.probabilities.items()),
                abstention=outcome.abstention,
                predicted_at=now,
            )
            yield PredictedEvent(row, event.encoder, event.fingerprint, event.message_id, event.size)

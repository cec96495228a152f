"""What the orchestrator does: content is encoded once, heads are asked, rules decide, what is opted in is logged."""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from starlette.requests import Request

from encoders.encoder import Encoded
from encoders.spec import EncoderSpec
from rawless.heads.artefact import HeadManifest
from rawless.privacy import Reason
from rawless.privacy.pseudonyms import PseudonymKey
from rawless.serving.assignment import assign_arm
from rawless.serving.classification import ClassifierBackend
from rawless.serving.config import ServedHead
from rawless.serving.encoding import EncoderBackend
from rawless.serving.errors import ErrorCode, RequestError
from rawless.serving.metrics import Metrics
from rawless.serving.prediction_log import PredictionLog
from rawless.serving.prediction_rows import prediction_row
from rawless.serving.requests import InferenceRequest, RequestReader
from rawless.serving.responses import Answer, Prediction, Scores
from rawless.serving.rules import Abstention
from rawless.warehouse.rows import EmbeddingRow

MAX_SHADOWS = 64
"""Questions to shadows at a time; what comes beyond is counted and left out."""


class Components(NamedTuple):
    """What an orchestrator works with."""

    encoding: EncoderBackend
    classifying: ClassifierBackend
    metrics: Metrics
    recorder: PredictionLog | None


class Orchestrator:
    """Answers requests under the names of a service's file."""

    def __init__(
        self,
        served: Mapping[str, ServedHead],
        specs: Mapping[str, EncoderSpec],
        key: PseudonymKey | None,
        parts: Components,
    ) -> None:
        """`specs` are the encoders by their reference; `key` is needed where a head is logged."""
        self.served = served
        self._specs = specs
        self._fingerprints = {ref: spec.fingerprint for ref, spec in specs.items()}
        self._readers = {name: RequestReader(head.stream, key, logged=head.log) for name, head in served.items()}
        self._parts = parts
        self._shadows: set[asyncio.Task[None]] = set()
        self._stopped: frozenset[str] = frozenset()
        self.look()

    def look(self) -> None:
        """See which kill switches are there."""
        self._stopped = frozenset(name for name in self.served if self._stops(name))

    def _stops(self, name: str) -> bool:
        switch = self.served[name].rules.kill_switch
        try:
            return switch is not None and switch.exists()
        except OSError:  # a folder that is away for a while
            return name in self._stopped

    async def finish(self) -> None:
        """Wait for the shadows that are being asked."""
        await asyncio.gather(*self._shadows)

    async def manifests(self) -> list[HeadManifest]:
        """Of the heads that are live now."""
        return await self._parts.classifying.manifests()

    async def check_ready(self) -> None:
        """Raises RequestError while content cannot be encoded, or heads cannot be asked."""
        await asyncio.gather(self._parts.encoding.check_ready(), self._parts.classifying.check_ready())

    async def predict(self, name: str, request: Request) -> Prediction:
        """The answer for the item that a request carries. Raises RequestError, or Unavailable."""
        head, asked = self.served[name], await self._readers[name].read(request)
        # Judged once: a kill switch may come or go while content is encoded.
        judged = {each: self._held(each, asked) for each in (name, *head.also)}
        names = [each for each, held in judged.items() if held is None]
        answers: dict[str, Prediction] = {}
        truncated = False
        if names:
            encoded = await self._encoded(head, asked)
            truncated = encoded.truncated
            found = await asyncio.gather(*(self._answer(self.served[each], asked, encoded) for each in names))
            answers = dict(zip(names, found, strict=True))
        for each, held in judged.items():
            if held:
                answers[each] = self._abstained(each, asked, held, truncated)
        return answers[name].model_copy(update={"also": {each: answers[each] for each in head.also}})

    async def score(self, name: str, request: Request, top: int) -> Scores:
        """The best events of an index for the query that a request carries. Raises RequestError, or Unavailable."""
        head, asked = self.served[name], await self._readers[name].read(request)
        if held := self._held(name, asked):
            self._parts.metrics.abstentions.labels(name, held.value).inc()
            return Scores(
                head=name, event_id=asked.event.event_id, model=None, snapshot_id=None, matches=[], abstention=held,
                truncated=False,
            )  # fmt: skip
        encoded = await self._encoded(head, asked)
        arm = assign_arm(name, asked.key, head.arms)
        fingerprint, attributes = self._fingerprints[head.encoder], dict(asked.event.attributes)
        ranking = await self._parts.classifying.rank(
            arm, head.index or "", fingerprint, encoded.vector, attributes, top
        )
        self._parts.metrics.answers.labels(name, f"{arm}@{ranking.model.version}").inc()
        return Scores(
            head=name, event_id=asked.event.event_id, model=ranking.model, snapshot_id=ranking.snapshot_id,
            matches=ranking.matches, abstention=None, truncated=encoded.truncated,
        )  # fmt: skip

    def _held(self, name: str, asked: InferenceRequest) -> Abstention | None:
        """Why a name does not answer a request, before anything is encoded."""
        return self.served[name].rules.before(dict(asked.event.attributes), stopped=name in self._stopped)

    def _abstained(self, name: str, asked: InferenceRequest, held: Abstention, truncated: bool) -> Prediction:
        self._parts.metrics.abstentions.labels(name, held.value).inc()
        return Prediction(
            head=name, event_id=asked.event.event_id, model=None, prediction=self.served[name].rules.fallback,
            probabilities=None, abstention=held, truncated=truncated,
        )  # fmt: skip

    async def _encoded(self, head: ServedHead, asked: InferenceRequest) -> Encoded:
        spec = self._specs[head.encoder]
        outcome = await self._parts.encoding.encode(head.stream, self._fingerprints[head.encoder], asked.event.payload)
        if isinstance(outcome, Reason):
            raise RequestError(outcome)
        if outcome.vector.shape != (spec.dimension,):  # a service may answer anything; nothing of it is logged
            raise RequestError(ErrorCode.UNAVAILABLE)
        if head.log and self._parts.recorder:
            fingerprint = self._fingerprints[head.encoder]
            row = EmbeddingRow.of(asked.event, spec, fingerprint, outcome.vector, outcome.truncated)
            self._parts.recorder.put(row)
        return outcome

    async def _answer(self, head: ServedHead, asked: InferenceRequest, encoded: Encoded) -> Prediction:
        arm = assign_arm(head.name, asked.key, head.arms)
        answer = await self._parts.classifying.answer(arm, self._fingerprints[head.encoder], encoded.vector)
        held = head.rules.after(answer.probabilities)
        self._parts.metrics.answers.labels(head.name, f"{arm}@{answer.model.version}").inc()
        if held:
            self._parts.metrics.abstentions.labels(head.name, held.value).inc()
        self._record(head, asked, answer, held)
        self._ask_shadows(head, asked, encoded, answer)
        return Prediction(
            head=head.name,
            event_id=asked.event.event_id,
            model=answer.model,
            prediction=head.rules.fallback if held else answer.prediction,
            probabilities=None if held else answer.probabilities,
            abstention=held,
            truncated=encoded.truncated,
        )

    def _record(self, head: ServedHead, asked: InferenceRequest, answer: Answer, held: Abstention | None) -> None:
        if head.log and self._parts.recorder and (row := prediction_row(asked.event, answer, held)):
            self._parts.recorder.put(row)

    def _ask_shadows(self, head: ServedHead, asked: InferenceRequest, encoded: Encoded, answer: Answer) -> None:
        """After the answer, so that they slow nobody."""
        for shadow in head.shadow:
            if len(self._shadows) >= MAX_SHADOWS:
                self._parts.metrics.shadows.labels(head.name, shadow, "skipped").inc()
                continue
            task = asyncio.create_task(self._ask_shadow(shadow, head, asked, encoded, answer))
            self._shadows.add(task)
            task.add_done_callback(self._shadows.discard)

    async def _ask_shadow(
        self, shadow: str, head: ServedHead, asked: InferenceRequest, encoded: Encoded, answer: Answer
    ) -> None:
        try:
            own = await self._parts.classifying.answer(shadow, self._fingerprints[head.encoder], encoded.vector)
        except Exception:  # noqa: BLE001 - nobody waits for it, and its text may hold anything
            outcome = "failed"
        else:
            outcome = "agrees" if own.prediction == answer.prediction else "differs"
            self._record(head, asked, own, head.rules.after(own.probabilities))
        self._parts.metrics.shadows.labels(head.name, shadow, outcome).inc()

"""The orchestrator: encodes content once, calls heads, applies business rules and logs what is opted in."""

import asyncio
from collections.abc import Callable, Mapping

from starlette.requests import Request

from encoders.encoder import Encoded, Role
from encoders.release import round_off
from rawless.errors import UserError
from rawless.privacy import Reason
from rawless.privacy.pseudonyms import KEY_VARIABLE, PseudonymKey
from rawless.serving.assignment import PURPOSE, assign_arm
from rawless.serving.classification import ClassifierBackend
from rawless.serving.config import ServedHead
from rawless.serving.encoder_switch import EncoderSwitch, Plan, PlannedEncoder
from rawless.serving.encoding import EncoderBackend
from rawless.serving.errors import ErrorCode, RequestError
from rawless.serving.metrics import Metrics
from rawless.serving.prediction_log import PredictionLog, prediction_row
from rawless.serving.requests import InferenceRequest, RequestReader, content_types
from rawless.serving.responses import Answer, Arm, Loaded, Model, Offer, Prediction, Scores, Tower
from rawless.serving.rules import Abstention
from rawless.warehouse.rows import EmbeddingRow

MAX_SHADOWS = 64
"""Calls of shadow heads in progress; further ones are skipped and counted."""
MAX_DUALS = 8
"""Items in progress that another encoder encodes, too; further ones are skipped and counted. They must not keep the
requests of callers waiting."""


class Orchestrator:
    """Answers requests to served heads."""

    def __init__(
        self,
        served: Mapping[str, ServedHead],
        switch: EncoderSwitch,
        pseudonym_key: PseudonymKey | None,
        *,
        encoder: EncoderBackend,
        classifier: ClassifierBackend,
        metrics: Metrics,
        log: PredictionLog | None,
    ) -> None:
        """`switch` says which encoders answer. `pseudonym_key` is required if a served head is logged.

        Raises UserError for a head with several arms without that key, since they are assigned by it.
        """
        if pseudonym_key is None and (
            name := next((name for name, head in served.items() if len(head.arms) > 1), None)
        ):
            raise UserError(
                f"heads.{name}.arms are assigned by the pseudonym key, but there is none: set {KEY_VARIABLE}."
            )
        self._assignment_secret = pseudonym_key.derive(PURPOSE) if pseudonym_key else b""
        self.served = served
        self._switch = switch
        self.readers: Mapping[str, RequestReader] = {
            name: RequestReader(head.stream, pseudonym_key, logged=head.log) for name, head in served.items()
        }
        self._encoder, self._classifier, self._metrics, self._log = encoder, classifier, metrics, log
        self._shadows: set[asyncio.Task[None]] = set()
        self._duals: set[asyncio.Task[None]] = set()
        self._stopped: frozenset[str] = frozenset()
        self.refresh_kill_switches()

    def refresh_kill_switches(self) -> None:
        """Check which kill switches exist."""
        self._stopped = frozenset(name for name in self.served if self._is_stopped(name))

    def _is_stopped(self, name: str) -> bool:
        kill_switch = self.served[name].rules.kill_switch
        try:
            return kill_switch is not None and kill_switch.exists()
        except OSError:  # the folder is unavailable, so the last known state stays
            return name in self._stopped

    async def finish_shadows(self) -> None:
        """Wait for the calls of shadow heads, and of other encoders, in progress."""
        await asyncio.gather(*self._shadows, *self._duals)

    async def follow_encoders(self) -> None:
        """Answer for the live encoders as soon as they and their heads are loaded."""
        if self._switch.is_settled:
            return
        try:
            fingerprints, loaded = await asyncio.gather(self._encoder.loaded(), self._classifier.loaded())
            await asyncio.to_thread(self._switch.update, fingerprints, loaded)
        except RequestError:  # a service is unavailable, as the answers and /ready say
            return
        except UserError as error:
            self._switch.tell_obstacle(error)

    async def offers(self, path_of: Callable[[ServedHead], str]) -> list[Offer]:
        """Return the served heads as callers see them, with the versions that answer. Raises RequestError."""
        loaded, plan = await self._classifier.loaded(), self._switch.plan
        return [_offer(head, path_of(head), plan, loaded) for head in self.served.values()]

    async def check_ready(self) -> None:
        """Raise RequestError while content cannot be encoded, or heads cannot be called."""
        await asyncio.gather(self._encoder.check_ready(), self._classifier.check_ready())

    async def predict(self, name: str, request: InferenceRequest) -> Prediction:
        """Return the prediction of a served head for an item. Raises RequestError or Unavailable."""
        head, plan = self.served[name], self._switch.plan
        # Checked once: a kill switch may appear or disappear while the content is encoded.
        abstentions = {other: self._check_rules(other, request) for other in (name, *head.also)}
        answering = [self.served[other] for other, abstention in abstentions.items() if abstention is None]
        predictions: dict[str, Prediction] = {}
        truncated = False
        if answering:
            encoder = plan.live[name]
            encoded = await self._encode(head, request, encoder)
            truncated = encoded.truncated
            answered = await asyncio.gather(*(self._predict(other, request, encoder, encoded) for other in answering))
            predictions = {prediction.head: prediction for prediction, _ in answered}
            answers = {prediction.head: answer for prediction, answer in answered}
            for dual in plan.dual[name]:
                self._start_dual(head, request, dual, answers)
        for other, abstention in abstentions.items():
            if abstention:
                predictions[other] = self._abstain(self.served[other], request, abstention, truncated)
        return predictions[name].model_copy(update={"also": {other: predictions[other] for other in head.also}})

    async def score(self, name: str, http_request: Request, top: int, arm: str | None = None) -> Scores:
        """Return the `top` best matches for the query in a request, by the arm of that name or the assigned one.

        Raises RequestError or Unavailable.
        """
        head, request = self.served[name], await self.readers[name].read(http_request)
        if abstention := self._check_rules(name, request):
            self._metrics.abstentions.labels(name, abstention.value).inc()
            return Scores(
                head=name, event_id=request.event.event_id, model=None, snapshot_id=None, matches=[],
                abstention=abstention, truncated=False,
            )  # fmt: skip
        arm = arm or assign_arm(self._assignment_secret, name, request.assignment_key, head.arms)
        encoder = self._switch.plan.encoder_of(name, arm)
        encoded = await self._encode(head, request, encoder)
        ranking = await self._classifier.rank(
            arm, head.index or "", encoder.fingerprint, encoded.vector, dict(request.event.attributes), top
        )
        model = ranking.model and _marked(ranking.model, head)
        self._metrics.answers.labels(name, model.counted_as if model else ranking.ref).inc()
        return Scores(
            head=name, event_id=request.event.event_id, model=model, tower=ranking.tower,
            snapshot_id=ranking.snapshot_id, matches=ranking.matches, abstention=None, truncated=encoded.truncated,
        )  # fmt: skip

    def _check_rules(self, name: str, request: InferenceRequest) -> Abstention | None:
        attributes = dict(request.event.attributes)
        return self.served[name].rules.check_request(attributes, is_stopped=name in self._stopped)

    async def _encode(self, head: ServedHead, request: InferenceRequest, encoder: PlannedEncoder) -> Encoded:
        spec, fingerprint, release = encoder
        role: Role = "query" if head.index else "document"
        outcome = await self._encoder.encode(head.stream, fingerprint, request.event.payload, role)
        if isinstance(outcome, Reason):
            raise RequestError(outcome)
        if outcome.vector.shape != (spec.dimension,):  # an encoder service may answer anything; it is not logged
            raise RequestError(ErrorCode.UNAVAILABLE)
        if release and self._log:
            released = release(outcome, request.event)
            if isinstance(released, Reason):
                raise RequestError(released)
            row = EmbeddingRow.of(
                request.event, spec, fingerprint, released.vector, released.truncated,
                origin="serving", caller_key=request.caller_key,
            )  # fmt: skip
            self._log.put(row)
        return round_off(spec, outcome)  # heads answer for the vector without noise, which does not leave

    async def _predict(
        self, head: ServedHead, request: InferenceRequest, encoder: PlannedEncoder, encoded: Encoded
    ) -> tuple[Prediction, Answer]:
        """Return the prediction of a head, and the answer that it was made from."""
        answer = await self._answer(head, request, encoder, encoded)
        abstention = head.rules.check_answer(answer.probabilities, answer.in_domain)
        model = _marked(answer.model, head)
        self._metrics.answers.labels(head.name, model.counted_as).inc()
        if abstention:
            self._metrics.abstentions.labels(head.name, abstention.value).inc()
        self._log_answer(head, request, answer, abstention)
        self._start_shadows(head, request, encoder, encoded, answer)
        prediction = Prediction(
            head=head.name,
            event_id=request.event.event_id,
            model=model,
            prediction=head.rules.fallback if abstention else answer.prediction,
            probabilities=None if abstention else answer.probabilities,
            abstention=abstention,
            truncated=encoded.truncated,
        )
        return prediction, answer

    async def _answer(
        self, head: ServedHead, request: InferenceRequest, encoder: PlannedEncoder, encoded: Encoded
    ) -> Answer:
        arm = assign_arm(self._assignment_secret, head.name, request.assignment_key, head.arms)
        return await self._classifier.answer(arm, encoder.fingerprint, encoded.vector, request.features)

    def _abstain(
        self, head: ServedHead, request: InferenceRequest, abstention: Abstention, truncated: bool
    ) -> Prediction:
        """Return the prediction of a head that was not called, and count it."""
        self._metrics.abstentions.labels(head.name, abstention.value).inc()
        return Prediction(
            head=head.name, event_id=request.event.event_id, model=None, prediction=head.rules.fallback,
            probabilities=None, abstention=abstention, truncated=truncated,
        )  # fmt: skip

    def _log_answer(
        self, head: ServedHead, request: InferenceRequest, answer: Answer, abstention: Abstention | None
    ) -> None:
        if not head.log or not self._log:
            return
        if row := prediction_row(request.event, request.caller_key, answer, abstention):
            self._log.put(row)

    def _start_shadows(
        self, head: ServedHead, request: InferenceRequest, encoder: PlannedEncoder, encoded: Encoded, answer: Answer
    ) -> None:
        """Call the shadow heads in the background, so that the response does not wait for them."""
        for shadow in head.shadow:
            if len(self._shadows) >= MAX_SHADOWS:
                self._metrics.shadows.labels(head.name, shadow, "skipped").inc()
                continue
            task = asyncio.create_task(self._call_shadow(shadow, head, request, encoder, encoded, answer))
            self._shadows.add(task)
            task.add_done_callback(self._shadows.discard)

    async def _call_shadow(
        self,
        shadow: str,
        head: ServedHead,
        request: InferenceRequest,
        encoder: PlannedEncoder,
        encoded: Encoded,
        answer: Answer,
    ) -> None:
        try:
            shadow_answer = await self._classifier.answer(shadow, encoder.fingerprint, encoded.vector, request.features)
        except Exception:  # noqa: BLE001 - counted only: no caller waits for it, and its text may contain content
            outcome = "failed"
        else:
            outcome = "agrees" if shadow_answer.prediction == answer.prediction else "differs"
            if shadow_answer.model != answer.model:  # otherwise it is logged already
                abstention = head.rules.check_answer(shadow_answer.probabilities, shadow_answer.in_domain)
                self._log_answer(head, request, shadow_answer, abstention)
        self._metrics.shadows.labels(head.name, shadow, outcome).inc()

    def _start_dual(
        self, head: ServedHead, request: InferenceRequest, encoder: PlannedEncoder, answers: Mapping[str, Answer]
    ) -> None:
        """Ask the heads of another encoder in the background, for the same item."""
        if len(self._duals) >= MAX_DUALS:
            for name in answers:
                self._metrics.duals.labels(name, encoder.spec.ref, "skipped").inc()
            return
        task = asyncio.create_task(self._call_dual(head, request, encoder, answers))
        self._duals.add(task)
        task.add_done_callback(self._duals.discard)

    async def _call_dual(
        self, head: ServedHead, request: InferenceRequest, encoder: PlannedEncoder, answers: Mapping[str, Answer]
    ) -> None:
        outcomes = dict.fromkeys(answers, "failed")
        try:
            encoded = await self._encode(head, request, encoder)
            for name, answer in answers.items():
                other = await self._answer(self.served[name], request, encoder, encoded)
                outcomes[name] = "agrees" if other.prediction == answer.prediction else "differs"
        except Exception:  # noqa: BLE001, S110 - counted only, as for a shadow
            pass
        for name, outcome in outcomes.items():
            self._metrics.duals.labels(name, encoder.spec.ref, outcome).inc()


def _marked(model: Model, head: ServedHead) -> Model:
    """Return the model of an answer, with the encoder if its vectors were adapted."""
    return model.model_copy(update={"adapted_by": head.encoder}) if head.adapted else model


def _offer(head: ServedHead, path: str, plan: Plan, loaded: Loaded) -> Offer:
    encoder = plan.live[head.name]
    manifests = {
        arm: versions[encoder.fingerprint]
        for arm in head.arms
        if encoder.fingerprint in (versions := loaded.heads.get(arm, {}))
    }
    return Offer(
        head=head.name,
        path=path,
        stream=head.stream.stream,
        encoder=encoder.spec.ref,
        modality=head.stream.modality,
        content_types=content_types(head.stream),
        arms=[
            Arm(
                arm=arm,
                model=_marked(Model.of(manifests[arm]), head),
                weight=weight,
                classes=list(manifests[arm].classes),
                features=list(manifests[arm].features),
            )
            if arm in manifests
            else Arm(arm=arm, tower=Tower.of(plan.towers[arm].spec), weight=weight, classes=[], features=[])
            for arm, weight in head.arms.items()
            if arm in manifests or arm in plan.towers
        ],
    )

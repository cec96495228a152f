"""The routes of each role."""

import re
from collections.abc import Mapping

from fastapi import Request, Response

from encoders.encoder import Role
from encoders.spec import Vector
from rawless.events.stream import Stream
from rawless.privacy import Reason
from rawless.serving import openapi
from rawless.serving.classification import LocalClassifierBackend
from rawless.serving.config import ServedHead, ServiceLimits
from rawless.serving.encoding import LocalEncoderBackend
from rawless.serving.errors import Code, ErrorCode, RequestError
from rawless.serving.item_answers import ItemAnswers
from rawless.serving.item_reader import ItemReader, max_bytes_of_items
from rawless.serving.metrics import Metrics
from rawless.serving.orchestrator import Orchestrator
from rawless.serving.remote import BYTES, FINGERPRINT, ROLE, TRUNCATED, vector_from_bytes, vector_to_bytes
from rawless.serving.requests import (
    ATTRIBUTES,
    InferenceRequest,
    check_content_type,
    read_attributes,
    read_body,
    read_features,
)
from rawless.serving.responses import Answer, Encoders, Loaded, Offer, Offers, Prediction, Ranking, Results, Scores
from rawless.serving.service import Service, json_response
from rawless.serving.vector_index import MAX_TOP

_CONTENT_ERRORS = (400, 413, 415, 422)
_MAX_VECTOR_BYTES = 1 << 18


def add_orchestrator_routes(
    service: Service, orchestrator: Orchestrator, limits: ServiceLimits, metrics: Metrics
) -> None:
    """Add a route for each served head, and one that lists them."""
    for head in orchestrator.served.values():
        if head.index is None:
            _add_predict_route(service, orchestrator, head, limits, metrics)
        else:
            _add_score_route(service, orchestrator, head)

    async def list_heads(_: Request) -> Response:
        offers = await orchestrator.offers(_path_of)
        return json_response(Offers(heads=[_with_limits(offer, orchestrator.served, limits) for offer in offers]))

    service.add_route("GET", "/v1/heads", "any", list_heads, (503,), Offers, "The served heads")


def _with_limits(offer: Offer, served: Mapping[str, ServedHead], limits: ServiceLimits) -> Offer:
    head = served[offer.head]
    if head.index is not None:
        return offer
    max_bytes = max_bytes_of_items(head.stream, limits)
    return offer.model_copy(update={"max_items": limits.max_items, "max_request_bytes": max_bytes})


def _add_predict_route(
    service: Service, orchestrator: Orchestrator, head: ServedHead, limits: ServiceLimits, metrics: Metrics
) -> None:
    path = _path_of(head)

    async def predict_item(item: InferenceRequest) -> Prediction:
        return await orchestrator.predict(head.name, item)

    def count(code: Code) -> None:
        metrics.refusals.labels(path, code.value).inc()

    reader = ItemReader(head.stream, orchestrator.readers[head.name], limits)
    answers = ItemAnswers(reader, predict_item, limits.seconds, count)

    async def predict(request: Request) -> Response:
        return json_response(await answers.answer(request))

    description = openapi.describe_items(head, limits)
    summary = f"The prediction of {head.name} for one or several items ({head.stream.modality})"
    service.add_route(
        "POST", path, "predict", predict, _CONTENT_ERRORS, Prediction | Results, summary, **description
    )  # fmt: skip


def _add_score_route(service: Service, orchestrator: Orchestrator, head: ServedHead) -> None:
    async def score(request: Request) -> Response:
        return json_response(await orchestrator.score(head.name, request, _read_top(request), _read_arm(request, head)))

    description = openapi.describe_request(head)
    description["parameters"] += [openapi.TOP_PARAMETER, openapi.arm_parameter(head)]
    summary = f"The events that match one {head.stream.modality} best, by {head.name}"
    service.add_route("POST", _path_of(head), "score", score, _CONTENT_ERRORS, Scores, summary, **description)


def _path_of(head: ServedHead) -> str:
    return f"/v1/heads/{head.name}/{'predict' if head.index is None else 'score'}"


def add_encoder_routes(service: Service, encoder: LocalEncoderBackend, streams: Mapping[str, Stream]) -> None:
    """Add the route of the encoder service, which returns the vector of an item."""

    async def encode(request: Request) -> Response:
        stream = streams.get(request.path_params["stream"])
        if stream is None:
            raise RequestError(ErrorCode.NOT_FOUND)
        check_content_type(request.headers, [BYTES])
        fingerprint = request.path_params["fingerprint"]
        role = _read_role(request)
        outcome = await encoder.encode(stream, fingerprint, await read_body(request, stream.max_bytes), role)
        if isinstance(outcome, Reason):
            raise RequestError(outcome)
        headers = {FINGERPRINT: fingerprint, ROLE: role, TRUNCATED: str(outcome.truncated).lower()}
        return Response(vector_to_bytes(outcome.vector), media_type=BYTES, headers=headers)

    parameters = [
        openapi.path_parameter("stream", sorted(streams)),
        openapi.fingerprint_parameter(),
        openapi.header_parameter(ROLE, pattern="^(document|query)$"),
    ]
    service.add_route(
        "POST", "/v1/streams/{stream}/encoders/{fingerprint}", "encode", encode, (404, *_CONTENT_ERRORS), None,
        "The vector of one item",
        parameters=parameters, requestBody=openapi.BINARY_BODY, responses=openapi.VECTOR_RESPONSE,
    )  # fmt: skip

    async def list_encoders(_: Request) -> Response:
        return json_response(Encoders(fingerprints=sorted(encoder.fingerprints)))

    service.add_route("GET", "/v1/encoders", "encode", list_encoders, (), Encoders, "The encoders that are loaded")


def add_classifier_routes(service: Service, classifier: LocalClassifierBackend) -> None:
    """Add the routes of the classifier service, which return the answers of heads for vectors."""

    async def answer(request: Request) -> Response:
        vector = await _read_vector(request)
        model, fingerprint = request.path_params["model"], request.headers.get(FINGERPRINT, "")
        features = read_features(request.headers)
        return json_response(await classifier.answer(model, fingerprint, vector, features))

    async def rank(request: Request) -> Response:
        vector = await _read_vector(request)
        model, fingerprint = request.path_params["model"], request.headers.get(FINGERPRINT, "")
        index, attributes = request.path_params["index"], read_attributes(request.headers)
        top = _read_top(request)
        return json_response(await classifier.rank(model, index, fingerprint, vector, attributes, top))

    async def list_models(_: Request) -> Response:
        return json_response(await classifier.loaded())

    parameters = [
        openapi.path_parameter("model", classifier.models),
        openapi.header_parameter(FINGERPRINT, required=True),
    ]
    index_parameters = [
        openapi.path_parameter("index", classifier.indexes),
        openapi.header_parameter(ATTRIBUTES),
        openapi.TOP_PARAMETER,
    ]
    service.add_route(
        "POST", "/v1/models/{model}/answer", "classify", answer, (404, *_CONTENT_ERRORS), Answer,
        "The answer of a head for one vector", parameters=[*parameters, openapi.FEATURES_PARAMETER],
        requestBody=openapi.BINARY_BODY,
    )  # fmt: skip
    service.add_route(
        "POST", "/v1/models/{model}/rank/{index}", "classify", rank, (404, *_CONTENT_ERRORS), Ranking,
        "The events of an index that match one vector best", parameters=[*parameters, *index_parameters],
        requestBody=openapi.BINARY_BODY,
    )  # fmt: skip
    service.add_route("GET", "/v1/models", "classify", list_models, (), Loaded, "The heads and indexes that are loaded")


def _read_role(request: Request) -> Role:
    """Return the role of an item. Raises RequestError for another one."""
    match request.headers.get(ROLE, "document"):
        case "document":
            return "document"
        case "query":
            return "query"
    raise RequestError(ErrorCode.BAD_REQUEST)


async def _read_vector(request: Request) -> Vector:
    check_content_type(request.headers, [BYTES])
    return vector_from_bytes((await read_body(request, _MAX_VECTOR_BYTES)).reveal())


def _read_arm(request: Request, head: ServedHead) -> str | None:
    """Return the arm that a request asks for, None if for none. Raises RequestError for one that is not in the file."""
    arm = request.query_params.get("arm")
    if arm is not None and arm not in head.arms:
        raise RequestError(ErrorCode.BAD_REQUEST)
    return arm


def _read_top(request: Request) -> int:
    """Return the requested number of matches. Raises RequestError for an invalid one."""
    text = request.query_params.get("top", str(openapi.DEFAULT_TOP))
    if not re.fullmatch(r"[1-9]\d{0,2}", text, re.ASCII) or int(text) > MAX_TOP:
        raise RequestError(ErrorCode.BAD_REQUEST)
    return int(text)

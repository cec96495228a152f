"""The paths of each role, and what OpenAPI says of them."""

import re
from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response
from pydantic import TypeAdapter

from rawless.events.parse import MAX_SUBJECT_LENGTH
from rawless.events.stream import Enumerated, IdPattern, Stream
from rawless.heads.artefact import HeadManifest
from rawless.privacy import Reason
from rawless.serving import requests
from rawless.serving.classification import LocalClassifierBackend
from rawless.serving.config import ServedHead
from rawless.serving.encoding import LocalEncoderBackend
from rawless.serving.errors import ErrorCode, RequestError
from rawless.serving.orchestrator import Orchestrator
from rawless.serving.remote import BYTES, FINGERPRINT, TRUNCATED, bytes_of, vector_of
from rawless.serving.requests import attributes_of, check_type, content_types, read_body
from rawless.serving.responses import Answer, Arm, Model, Offer, Offers, Prediction, Ranking, Scores
from rawless.serving.service import Service, told
from rawless.serving.vector_index import MAX_TOP

DEFAULT_TOP = 10
_CONTENT = (400, 413, 415, 422)
_MANIFESTS = TypeAdapter(list[HeadManifest])
_VECTOR_BYTES = 1 << 18
_FORMATS = {"uuid": {"format": "uuid"}, "ulid": {"pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"}}


def orchestrate(service: Service, orchestrator: Orchestrator) -> None:
    """A path for each name, and the list of them."""
    for name, head in orchestrator.served.items():
        if head.index is None:
            _predicting(service, orchestrator, name, head)
        else:
            _scoring(service, orchestrator, name, head)

    async def offers(_: Request) -> Response:
        return told(await _offers(orchestrator))

    service.add("GET", "/v1/heads", "known", offers, (503,), Offers, "What can be asked")


def _predicting(service: Service, orchestrator: Orchestrator, name: str, head: ServedHead) -> None:
    async def predict(request: Request) -> Response:
        return told(await orchestrator.predict(name, request))

    path, summary = path_of(head), f"The answer of {name} for one {head.stream.modality}"
    service.add("POST", path, "predict", predict, _CONTENT, Prediction, summary, **_described(head))


def _scoring(service: Service, orchestrator: Orchestrator, name: str, head: ServedHead) -> None:
    async def score(request: Request) -> Response:
        return told(await orchestrator.score(name, request, top_of(request)))

    described = _described(head)
    described["parameters"].append(_TOP)
    path, summary = path_of(head), f"The events that go best with one {head.stream.modality}, by {name}"
    service.add("POST", path, "score", score, _CONTENT, Scores, summary, **described)


def path_of(head: ServedHead) -> str:
    """Where a name is asked."""
    return f"/v1/heads/{head.name}/{'predict' if head.index is None else 'score'}"


async def _offers(orchestrator: Orchestrator) -> Offers:
    manifests = {each.head: each for each in await orchestrator.manifests()}
    return Offers(heads=[_offer(head, manifests) for head in orchestrator.served.values()])


def _offer(head: ServedHead, manifests: Mapping[str, HeadManifest]) -> Offer:
    return Offer(
        head=head.name,
        path=path_of(head),
        stream=head.stream.stream,
        modality=head.stream.modality,
        content_types=content_types(head.stream),
        arms=[
            Arm(model=Model.of(manifests[arm]), weight=weight, classes=list(manifests[arm].classes))
            for arm, weight in head.arms.items()
            if arm in manifests
        ],
    )


def encode(service: Service, encoders: LocalEncoderBackend, streams: Mapping[str, Stream]) -> None:
    """The encoder service: content to its vector."""

    async def answer(request: Request) -> Response:
        stream = streams.get(request.path_params["stream"])
        if stream is None:
            raise RequestError(ErrorCode.NOT_FOUND)
        check_type(request.headers, [BYTES])
        fingerprint = request.path_params["fingerprint"]
        outcome = await encoders.encode(stream, fingerprint, await read_body(request, stream.max_bytes))
        if isinstance(outcome, Reason):
            raise RequestError(outcome)
        headers = {FINGERPRINT: fingerprint, TRUNCATED: str(outcome.truncated).lower()}
        return Response(bytes_of(outcome.vector), media_type=BYTES, headers=headers)

    parameters = [_in_path("stream", sorted(streams)), _in_path("fingerprint", encoders.fingerprints)]
    path, summary = "/v1/streams/{stream}/encoders/{fingerprint}", "The vector of one item"
    service.add(
        "POST", path, "encode", answer, (404, *_CONTENT), None, summary,
        parameters=parameters, requestBody=_body({BYTES: _BINARY}), responses=_VECTOR_ANSWER,
    )  # fmt: skip


def classify(service: Service, heads: LocalClassifierBackend) -> None:
    """The classifier service: vectors to answers."""

    async def answer(request: Request) -> Response:
        vector = await _vector(request)
        return told(await heads.answer(request.path_params["model"], request.headers.get(FINGERPRINT, ""), vector))

    async def rank(request: Request) -> Response:
        model, index, vector = request.path_params["model"], request.path_params["index"], await _vector(request)
        fingerprint, attributes = request.headers.get(FINGERPRINT, ""), attributes_of(request.headers)
        return told(await heads.rank(model, index, fingerprint, vector, attributes, top_of(request)))

    async def models(_: Request) -> Response:
        return Response(_MANIFESTS.dump_json(await heads.manifests()), media_type="application/json")

    described = {"requestBody": _body({BYTES: _BINARY})}
    asked = [_in_path("model", heads.live.names), _header(FINGERPRINT, required=True)]
    service.add(
        "POST", "/v1/models/{model}/answer", "classify", answer, (404, *_CONTENT), Answer, "What a head says",
        parameters=asked, **described,
    )  # fmt: skip
    service.add(
        "POST", "/v1/models/{model}/rank/{index}", "classify", rank, (404, *_CONTENT), Ranking, "What goes best",
        parameters=[*asked, _in_path("index", heads.indexes), _header(requests.ATTRIBUTES), _TOP], **described,
    )  # fmt: skip
    service.add("GET", "/v1/models", "classify", models, (), list[HeadManifest], "The heads that are live")


async def _vector(request: Request) -> Any:
    check_type(request.headers, [BYTES])
    return vector_of((await read_body(request, _VECTOR_BYTES)).reveal())


def top_of(request: Request) -> int:
    """How many a caller wants. Raises RequestError for what is no number from 1 to 100, and for other parameters."""
    if request.query_params.keys() - {"top"}:
        raise RequestError(ErrorCode.BAD_REQUEST)
    text = request.query_params.get("top", str(DEFAULT_TOP))
    if not re.fullmatch(r"[1-9]\d{0,2}", text, re.ASCII) or int(text) > MAX_TOP:
        raise RequestError(ErrorCode.BAD_REQUEST)
    return int(text)


_BINARY = {"type": "string", "format": "binary"}
_TOP = {
    "name": "top", "in": "query", "description": "how many to answer",
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_TOP, "default": DEFAULT_TOP},
}  # fmt: skip
_VECTOR_ANSWER = {"200": {"description": "little-endian float32", "content": {BYTES: {"schema": _BINARY}}}}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {kind: {"schema": schema} for kind, schema in content.items()}}


def _in_path(name: str, values: list[str]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": values}}


def _header(name: str, *, required: bool = False, **schema: str | int) -> dict[str, Any]:
    return {"name": name.title(), "in": "header", "required": required, "schema": {"type": "string", **schema}}


def _described(head: ServedHead) -> dict[str, Any]:
    """The body and the metadata that a name takes."""
    stream = head.stream
    if stream.modality == "text":
        text = {"type": "string", "minLength": 1, "maxLength": stream.max_bytes}
        schema = {"type": "object", "properties": {"text": text}, "required": ["text"], "additionalProperties": False}
        body = _body(dict.fromkeys(content_types(stream), schema))
    else:
        body = _body(dict.fromkeys(content_types(stream), _BINARY))
    return {"requestBody": body, "parameters": _metadata(stream, logged=head.log)}


def _metadata(stream: Stream, *, logged: bool) -> list[dict[str, Any]]:
    id_ = stream.event_id
    ids: dict[str, Any] = {"pattern": f"^(?:{id_.pattern})$"} if isinstance(id_, IdPattern) else _FORMATS[id_]
    values = {
        name: {"enum": list(rule.enum)} if isinstance(rule, Enumerated) else {"pattern": f"^(?:{rule.pattern})$"}
        for name, rule in stream.attributes.items()
    }
    object_ = {"type": "object", "properties": {name: {"type": "string"} | each for name, each in values.items()}}
    headers = [
        _header(requests.EVENT_ID, required=requests.needs_event_id(stream, logged=logged), **ids),
        _header(requests.OCCURRED_AT, format="date-time"),
        _header(requests.ASSIGNMENT_KEY, maxLength=requests.MAX_HEADER),
        {"name": "Rawless-Attributes", "in": "header", "content": {"application/json": {"schema": object_}}},
    ]
    if stream.subject == "none":
        return headers
    needed = logged and stream.subject == "required"
    return [*headers, _header(requests.SUBJECT_ID, required=needed, maxLength=MAX_SUBJECT_LENGTH)]

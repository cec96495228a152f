"""What a client sends, and when it sends it again, without doing it: both clients run the same flows.

A flow is a generator. It yields a `Call`, and is sent the reply; or a `Pause`, after which it goes on.
"""

import random
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from rawless.answers import Offer, Offers, Prediction, Problem, Result, Results, Scores
from rawless.client.errors import NO_ANSWER, NO_CONNECTION, TRANSIENT, UNEXPECTED, UNFINISHED, ServiceError
from rawless.client.items import Encoded, Item, body_of
from rawless.errors import UserError

MAX_PAUSE_SECONDS = 30.0
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Call:
    """A request."""

    method: str
    path: str
    content: bytes = field(default=b"", repr=False)
    headers: dict[bytes, bytes] = field(default_factory=dict, repr=False)
    is_repeatable: bool = True
    """Whether it may be sent again although the service may have answered it already."""


class Pause(NamedTuple):
    """A time to wait."""

    seconds: float


class Reply(NamedTuple):
    """A response; without a status, the reason why there is none."""

    status: int | None
    content: bytes
    retry_after: str = ""
    reason: str = ""


class Retries(NamedTuple):
    """How often a call is repeated, and the first of the pauses, which double."""

    number: int
    seconds: float

    def pause(self, attempt: int, retry_after: str = "") -> Pause:
        """Return the pause after a failed attempt, at least as long as the service asks for."""
        own = self.seconds * 2**attempt * random.uniform(0.5, 1)  # noqa: S311 - so that callers do not return together
        asked = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0
        return Pause(min(max(own, asked), MAX_PAUSE_SECONDS))


ModelT = TypeVar("ModelT", bound=BaseModel)
T = TypeVar("T")
Flow = Generator[Call | Pause, Reply | None, T]


def list_heads(retries: Retries) -> Flow[list[Offer]]:
    """Return the served heads."""
    return _parse(Offers, (yield from _fetch(Call("GET", "/v1/heads"), retries))).heads


def predict(head: str, item: Item, retries: Retries) -> Flow[Prediction]:
    """Return the prediction for one item."""
    return _parse(Prediction, (yield from _fetch(_call(head, "predict", item), retries)))


def score(head: str, item: Item, top: int, arm: str | None, retries: Retries) -> Flow[Scores]:
    """Return the best matches for one query."""
    query = str(httpx.QueryParams({"top": top} | ({"arm": arm} if arm else {})))
    return _parse(Scores, (yield from _fetch(_call(head, f"score?{query}", item), retries)))


def predict_chunk(head: str, items: Sequence[Encoded], retries: Retries) -> Flow[list[Result]]:
    """Return the results of the items of one request, after those that failed for a moment were sent again."""
    results: dict[int, Result] = {}
    pending = list(items)
    for attempt in range(retries.number + 1):
        results |= {result.index: result for result in (yield from _send_chunk(head, pending, retries))}
        pending = [item for item in pending if _is_worth_repeating(results[item.position], item)]
        if not pending:
            break
        if attempt < retries.number:
            yield retries.pause(attempt)
    return [results[item.position] for item in items]


def _send_chunk(head: str, items: Sequence[Encoded], retries: Retries) -> Flow[list[Result]]:
    is_repeatable = all(item.has_id for item in items)
    headers = {b"content-type": b"application/json"}
    call = Call("POST", _path(head, "predict"), body_of(items), headers, is_repeatable)
    try:
        received = _parse(Results, (yield from _fetch(call, retries))).results
    except ServiceError as error:
        if error.reason in TRANSIENT or (error.status == httpx.codes.REQUEST_ENTITY_TOO_LARGE and len(items) == 1):
            return [Result(index=item.position, reason=error.reason, detail=error.detail) for item in items]
        raise
    if [result.index for result in received] != list(range(len(items))):
        raise _unexpected(httpx.codes.OK)
    return [result.model_copy(update={"index": item.position}) for result, item in zip(received, items, strict=True)]


def _is_worth_repeating(result: Result, item: Encoded) -> bool:
    return result.reason in TRANSIENT and (item.has_id or result.reason not in UNFINISHED)


def _call(head: str, operation: str, item: Item) -> Call:
    content, headers = item.alone()
    return Call("POST", _path(head, operation), content, headers, is_repeatable=item.event_id is not None)


def _path(head: str, operation: str) -> str:
    check_name(head)
    return f"/v1/heads/{head}/{operation}"


def check_name(head: str) -> None:
    """Raise UserError for what cannot be the name of a head. It is not quoted, since it may be a text to predict."""
    if not isinstance(head, str) or not _NAME.fullmatch(head):
        raise UserError(
            "The first argument is not the name of a head, which has at most 63 of a-z, 0-9 and _: Client.heads() "
            "lists the names."
        )


def _fetch(call: Call, retries: Retries) -> Flow[bytes]:
    """Return the content of the response. Raises ServiceError if there is none after all attempts."""
    attempt = 0
    while True:
        reply = yield call
        if reply is None:
            raise RuntimeError("a call was not answered")
        error = _error_of(reply)
        if error is None:
            return reply.content
        may_repeat = error.reason in TRANSIENT and (call.is_repeatable or error.reason not in UNFINISHED)
        if attempt == retries.number or not may_repeat:
            raise error
        yield retries.pause(attempt, reply.retry_after)
        attempt += 1


def _error_of(reply: Reply) -> ServiceError | None:
    if reply.status is None:
        detail = {
            NO_CONNECTION: "The service cannot be reached; check its URL and whether it runs.",
            NO_ANSWER: "The service did not answer; give the client a longer timeout if the service may take it.",
        }[reply.reason]
        return ServiceError(None, reply.reason, detail)
    if reply.status == httpx.codes.OK:
        return None
    problem = _parsed(Problem, reply.content)
    if problem is None:
        if reply.status == httpx.codes.SERVICE_UNAVAILABLE:  # of a proxy
            return ServiceError(reply.status, "unavailable", "The service is unavailable.")
        return _unexpected(reply.status)
    return ServiceError(reply.status, problem.reason, problem.detail, problem.feature)


def _parse(model: type[ModelT], content: bytes) -> ModelT:
    parsed = _parsed(model, content)
    if parsed is None:
        raise _unexpected(httpx.codes.OK)
    return parsed


def _parsed(model: type[ModelT], content: bytes) -> ModelT | None:
    """Return a response as its model, which a newer service may have extended; None if it is another one."""
    try:
        return model.model_validate_json(content, extra="ignore")
    except ValidationError:  # its text quotes the response
        return None


def _unexpected(status: int) -> ServiceError:
    return ServiceError(
        status, UNEXPECTED, "The response is not one of a Rawless service of this version; check URL and versions."
    )

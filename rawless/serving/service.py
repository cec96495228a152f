"""What every service has in common: one layer around its handlers that judges, limits, times and tells."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import cached_property
from typing import Any, Literal

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from rawless.errors import Unavailable
from rawless.privacy import Reason
from rawless.serving.authentication import Authenticator
from rawless.serving.config import Scope, ServiceLimits
from rawless.serving.errors import ErrorCode, RequestError
from rawless.serving.metrics import Metrics
from rawless.serving.problems import described, handle_http_exception, problem
from rawless.serving.responses import Health, Problem

Handler = Callable[[Request], Awaitable[Response]]
Need = Scope | Literal["known", "nothing"]
"""What a caller must be allowed; just known; or nothing."""
_WITH_CONTENT: tuple[Need, ...] = ("predict", "score", "encode", "classify")
_LEFT = 499
"""The status of a request whose caller went; nobody sees it but the metrics."""
_TEXT = {"text/plain": {"schema": {"type": "string"}}}


class Service:
    """An app whose every handler is behind the door: whatever it meets, its caller gets an answer, and no traceback."""

    def __init__(
        self, title: str, door: Authenticator, limits: ServiceLimits, metrics: Metrics,
        ready: Callable[[], Awaitable[None]], lifespan: Any,
    ) -> None:  # fmt: skip
        """`ready` raises Refused while requests cannot be answered."""
        # No pages of documentation: they load scripts from elsewhere. No redirects: they repeat what was asked.
        self.app = FastAPI(
            title=title, version="1", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False,
            lifespan=lifespan,
        )  # fmt: skip
        self.app.add_exception_handler(HTTPException, handle_http_exception)
        self._door, self._limits, self._metrics, self._ready = door, limits, metrics, ready
        self._held = 0
        self.add("GET", "/healthz", "nothing", _health, (), Health, "Whether the process lives")
        self.add("GET", "/readyz", "nothing", self._readiness, (503,), Health, "Whether requests are answered")
        text = {"responses": {"200": {"description": "in Prometheus' text format", "content": _TEXT}}}
        self.add("GET", "/openapi.json", "known", self._described, (), dict[str, Any], "What there is, as OpenAPI")
        self.add("GET", "/metrics", "metrics", self._prometheus, (), None, "For Prometheus", **text)

    def add(
        self, method: str, path: str, need: Need, handle: Handler, statuses: Iterable[int], model: Any, summary: str,
        **extra: Any,
    ) -> None:  # fmt: skip
        """A route. `statuses` are those of its own refusals, `model` is its answer's; `extra` is more of OpenAPI."""
        judged = need != "nothing"
        refusals = {*statuses, 500, 504}
        if judged:
            refusals |= {421} if self._door.is_open else {401, 403}
        if need in _WITH_CONTENT:
            refusals.add(503)
        if judged and not self._door.is_open:
            extra["security"] = [{"bearer": []}]
        self.app.add_api_route(
            path,
            self._endpoint(path, need, handle),
            methods=[method],
            response_model=model,
            response_class=Response if model is None else self.app.router.default_response_class,
            responses=described(refusals),
            summary=summary,
            operation_id="_".join(re.findall(r"\w+", path)),
            openapi_extra=extra,
        )

    def _endpoint(self, route: str, need: Need, handle: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            started = time.perf_counter()
            response = await self._answered(route, need, handle, request)
            self._metrics.requests.labels(route, response.status_code).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)
            return response

        return answer

    async def _answered(self, route: str, need: Need, handle: Handler, request: Request) -> Response:
        try:
            async with asyncio.timeout(self._limits.seconds):
                if need == "nothing":
                    return await handle(request)
                await self._door.check(request.headers, None if need == "known" else need)
                return await (self._within(handle, request) if need in _WITH_CONTENT else handle(request))
        except ClientDisconnect:
            return Response(status_code=_LEFT)
        except RequestError as error:
            refused = error
        except TimeoutError:
            refused = RequestError(ErrorCode.TOO_SLOW)
        except Unavailable:
            refused = RequestError(ErrorCode.UNAVAILABLE)
        except Exception:  # noqa: BLE001 - its text and frames may hold content, so nothing of it is told
            refused = RequestError(Reason.INTERNAL)
        self._metrics.refusals.labels(route, refused.code.value).inc()
        return problem(refused)

    async def _within(self, handle: Handler, request: Request) -> Response:
        """Handle a request, unless as many as may are held already: each holds its body in memory."""
        if self._held >= self._limits.queue:
            raise RequestError(ErrorCode.QUEUE_FULL)
        self._hold(1)
        try:
            return await handle(request)
        finally:
            self._hold(-1)

    def _hold(self, more: int) -> None:
        self._held += more
        self._metrics.waiting.set(self._held)

    async def _readiness(self, _: Request) -> Response:
        await self._ready()
        return told(Health())

    async def _prometheus(self, _: Request) -> Response:
        return Response(generate_latest(self._metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def _described(self, _: Request) -> Response:
        return JSONResponse(self.openapi)

    @cached_property
    def openapi(self) -> dict[str, Any]:
        """What FastAPI describes, with what it does not know of."""
        schema = self.app.openapi()
        parts = schema.setdefault("components", {})
        parts.setdefault("schemas", {})[Problem.__name__] = Problem.model_json_schema()
        if not self._door.is_open:
            parts["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        return schema


async def _health(_: Request) -> Response:
    return told(Health())


def told(answer: BaseModel) -> Response:
    """An answer as JSON."""
    return Response(answer.model_dump_json(), media_type="application/json")

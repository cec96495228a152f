"""The base of every service: authentication, limits, timeouts, error responses and metrics around its handlers."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, Literal

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from rawless.errors import Unavailable
from rawless.metering.metric import registry as process_metrics
from rawless.privacy import Reason
from rawless.serving.authentication import Authenticator
from rawless.serving.config import Scope, ServiceLimits
from rawless.serving.errors import ErrorCode, RequestError
from rawless.serving.item_queue import ItemQueue
from rawless.serving.metrics import Metrics
from rawless.serving.origins import Origins
from rawless.serving.problems import describe_problems, handle_http_exception, problem_response
from rawless.serving.readiness import Readiness
from rawless.serving.responses import Health, Problem

Handler = Callable[[Request], Awaitable[Response]]
Permission = Scope | Literal["any", "none"]
"""What a route requires of its caller: a scope, a token with any scope, or nothing."""
_WITH_CONTENT: tuple[Permission, ...] = ("predict", "score", "encode", "classify")
_TAGS = [
    {"name": "requests", "description": "What the service answers"},
    {"name": "operation", "description": "For operators, and this description"},
]
"""The groups of operations on the page /docs, in their order."""
_CLIENT_CLOSED_REQUEST = 499
"""The status of a request whose caller disconnected. It only appears in metrics."""
_TEXT = {"text/plain": {"schema": {"type": "string"}}}


class Service:
    """A FastAPI app whose handlers are authenticated and limited, and whose errors never reveal an exception."""

    def __init__(
        self, title: str, authenticator: Authenticator, origins: Origins, limits: ServiceLimits, metrics: Metrics,
        check_ready: Callable[[], Awaitable[None]], lifespan: Any,
    ) -> None:  # fmt: skip
        """`check_ready` raises RequestError while requests cannot be answered. `lifespan` is FastAPI's."""
        # Not the framework's pages, which load scripts from other hosts; no redirects, which repeat the requested URL.
        self.app = FastAPI(
            title=title, version="1", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False,
            lifespan=lifespan, openapi_tags=_TAGS,
        )  # fmt: skip
        self.app.add_exception_handler(HTTPException, handle_http_exception)
        self._authenticator, self._origins, self._limits, self._metrics = authenticator, origins, limits, metrics
        self._readiness = Readiness(check_ready)
        self._items = ItemQueue(limits.queue)
        self.add_route("GET", "/health", "none", self._health, (), Health, "Whether the process is alive")
        self.add_route("GET", "/ready", "none", self._ready, (503,), Health, "Whether requests can be answered")
        # The same under the names of Kubernetes. Google's front ends keep some paths that end with z for themselves.
        self.add_route("GET", "/healthz", "none", self._health, (), Health, "As /health, except on Cloud Run")
        self.add_route("GET", "/readyz", "none", self._ready, (503,), Health, "As /ready, except on Cloud Run")
        text = {"responses": {"200": {"description": "in Prometheus' text format", "content": _TEXT}}}
        self.add_route("GET", "/openapi.json", "any", self._openapi, (), dict[str, Any], "This OpenAPI document")
        self.add_route("GET", "/metrics", "metrics", self._prometheus, (), None, "Metrics for Prometheus", **text)

    def add_route(
        self, method: str, path: str, permission: Permission, handler: Handler, statuses: Iterable[int], model: Any,
        summary: str, **openapi: Any,
    ) -> None:  # fmt: skip
        """Add a route.

        `statuses` are those of the handler's own errors. `model` is the type of its JSON response, None for another
        format. `openapi` is added to the description of the operation.
        """
        needs_token = permission != "none" and not self._authenticator.is_open
        all_statuses = {*statuses, 500, 504}
        if permission != "none":
            all_statuses |= {403, 401 if needs_token else 421}
        if permission in _WITH_CONTENT:
            all_statuses |= {400, 503}
            handler = _with_checked_query(handler, _query_parameters(openapi))
        if needs_token:
            openapi["security"] = [{"bearer": []}]
        self.app.add_api_route(
            path,
            self._wrap(path, permission, handler),
            methods=[method],
            response_model=model,
            response_class=Response if model is None else self.app.router.default_response_class,
            responses=describe_problems(all_statuses),
            summary=summary,
            tags=["requests" if path.startswith("/v1/") else "operation"],
            operation_id="_".join(re.findall(r"\w+", path)),
            openapi_extra=openapi,
        )

    def _wrap(self, route: str, permission: Permission, handler: Handler) -> Handler:
        async def measured(request: Request) -> Response:
            started = time.perf_counter()
            response = await self._respond(route, permission, handler, request)
            self._metrics.requests.labels(route, response.status_code).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)
            return response

        return measured

    async def _respond(self, route: str, permission: Permission, handler: Handler, request: Request) -> Response:
        try:
            async with asyncio.timeout(self._limits.seconds) as limit:
                request.state.deadline = limit.when()
                return await self._handle(permission, handler, request)
        except ClientDisconnect:
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        except RequestError as request_error:
            error = request_error
        except TimeoutError:
            error = RequestError(ErrorCode.TOO_SLOW)
        except Unavailable:
            error = RequestError(ErrorCode.UNAVAILABLE)
        except Exception:  # noqa: BLE001 - its text and frames may contain content, so all of it is dropped
            error = RequestError(Reason.INTERNAL)
        self._metrics.refusals.labels(route, error.code.value).inc()
        return problem_response(error)

    async def _handle(self, permission: Permission, handler: Handler, request: Request) -> Response:
        if permission == "none":
            return await handler(request)
        self._origins.check(request.headers)
        scope = None if permission == "any" else permission
        request.state.credential = await self._authenticator.check(request.headers, scope)
        if permission not in _WITH_CONTENT:
            return await handler(request)
        with self._items.enter() as places, self._metrics.in_progress.track_inprogress():
            request.state.places = places
            return await handler(request)

    async def _health(self, _: Request) -> Response:
        return json_response(Health())

    async def _ready(self, _: Request) -> Response:
        await self._readiness.check()
        return json_response(Health())

    async def _prometheus(self, _: Request) -> Response:
        text = generate_latest(self._metrics.registry) + generate_latest(process_metrics)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    async def _openapi(self, _: Request) -> Response:
        return JSONResponse(self.openapi)

    @cached_property
    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document: FastAPI's, completed with the problem schema and the security scheme."""
        document = self.app.openapi()
        components = document.setdefault("components", {})
        components.setdefault("schemas", {})[Problem.__name__] = Problem.model_json_schema()
        if not self._authenticator.is_open:
            components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        return document


def _query_parameters(openapi: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the query parameters that an operation describes."""
    return frozenset(each["name"] for each in openapi.get("parameters", ()) if each["in"] == "query")


def _with_checked_query(handler: Handler, parameters: frozenset[str]) -> Handler:
    """Return a handler that refuses a query string with anything else: servers on the way log it."""

    async def checked(request: Request) -> Response:
        names = request.query_params.keys()
        if request.url.query and not (names and names <= parameters):
            raise RequestError(ErrorCode.BAD_REQUEST)
        return await handler(request)

    return checked


def json_response(body: BaseModel) -> Response:
    """Return a response with a model as JSON."""
    return Response(body.model_dump_json(), media_type="application/json")

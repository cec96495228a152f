"""The page /docs, on which people read about a service and try it: Swagger UI, from files of this package and its own.

The page is the same for everybody and needs no token; it asks for one before it reads /openapi.json where that needs
one. Its policy forbids the browser to load anything from another host, and to send anything there.
"""

from importlib.resources import files

from fastapi import Request, Response

from rawless.serving import openapi
from rawless.serving.errors import ErrorCode, RequestError
from rawless.serving.service import Service

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_PAGE = "index.html"
_ASSETS = {
    "page.js": "rawless.serving",
    "page.css": "rawless.serving",
    "swagger-ui-bundle.js": "fastapi_offline",
    "swagger-ui.css": "fastapi_offline",
}
"""The files of the page, and the packages that contain them."""
_FOLDERS = {"rawless.serving": "page", "fastapi_offline": "static"}


def add_page(service: Service) -> None:
    """Add the page and its files to a service."""
    page = _response(_read("rawless.serving", _PAGE), _PAGE)
    assets = {name: _response(_read(package, name), name) for name, package in _ASSETS.items()}

    async def show_page(_: Request) -> Response:
        return page

    async def send_asset(request: Request) -> Response:
        asset = assets.get(request.path_params["name"])
        if asset is None:
            raise RequestError(ErrorCode.NOT_FOUND)
        return asset

    service.add_route("GET", "/docs", "none", show_page, (), None, "A page to try the service", **_described(".html"))
    service.add_route(
        "GET", "/docs/{name}", "none", send_asset, (404,), None, "A file of the page",
        parameters=[openapi.path_parameter("name", list(_ASSETS))], **_described(".js", ".css"),
    )  # fmt: skip


def _read(package: str, name: str) -> bytes:
    return (files(package) / _FOLDERS[package] / name).read_bytes()


def _response(content: bytes, name: str) -> Response:
    media_type = next(kind for suffix, kind in _TYPES.items() if name.endswith(suffix))
    return Response(content, media_type=media_type, headers=_HEADERS)


def _described(*suffixes: str) -> dict[str, object]:
    content = {f"{_TYPES[suffix]}; charset=utf-8": {"schema": {"type": "string"}} for suffix in suffixes}
    return {"responses": {"200": {"description": "a file", "content": content}}}

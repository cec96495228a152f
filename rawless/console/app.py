"""The application: the pages by their paths, each rendered from what was read, and nothing that changes anything."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

import rawless.report
from rawless.console import audits, datasets, encoders, heads, overview, streams
from rawless.console.charts import colour, share_bar
from rawless.console.reads import DEFAULT_DAYS, WINDOWS, Window, window
from rawless.console.source import Source, View
from rawless.errors import RawlessError
from rawless.quantities import format_bytes

PAGES = {
    "/": "Overview",
    "/streams": "Streams",
    "/encoders": "Encoders",
    "/datasets": "Datasets",
    "/heads": "Heads",
    "/audits": "Audits",
}
"""The titles of the pages by their paths, in the order of the navigation."""
STYLE, ICON = "/console.css", "/icon.svg"
_READERS: Mapping[str, Callable[[Source, Window, datetime], View]] = {
    "/": overview.read,
    "/streams": lambda source, days, _: streams.read(source, days),
    "/encoders": lambda source, days, _: encoders.read(source, days),
    "/datasets": lambda source, _days, _now: datasets.read(source),
    "/heads": lambda source, days, _: heads.read(source, days),
    "/audits": audits.read,
}
_WITHOUT_DAYS = ("/datasets",)
_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#0072b2"/>'
    '<path d="M4 12V8M8 12V4M12 12V6" stroke="#fff" stroke-width="2"/></svg>'
)


def create_app(source: Source, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Starlette:
    """Return the application, which answers whoever it is asked by: `access` decides about that."""
    templates = _environment()
    style = _style()

    def page(request: Request) -> Response:
        try:
            return answer(request)
        except RawlessError as error:
            return PlainTextResponse(f"The page could not be made: {error}\n", 500)
        except Exception as error:  # noqa: BLE001 - its text may quote a row, and the server would log it with its frames
            return PlainTextResponse(f"The page could not be made ({type(error).__name__}); please report it.\n", 500)

    def answer(request: Request) -> Response:
        path, now = request.url.path, clock()
        days = request.query_params.get("days", str(DEFAULT_DAYS))
        if days not in map(str, WINDOWS):
            return PlainTextResponse(f"days must be one of {', '.join(map(str, WINDOWS))}.\n", 400)
        shown = window(int(days), now)
        view = _READERS[path](source, shown, now)
        text = templates.get_template(f"{PAGES[path].lower()}.html.j2").render(
            view=view, window=shown, windows=() if path in _WITHOUT_DAYS else WINDOWS, pages=PAGES, path=path,
            project=source.project, read_at=min((part.read_at for part in view.parts), default=now), now=now,
            billed=sum(part.billed_bytes for part in view.parts), is_local=source.reads.warehouse.emulator is not None,
            command=source.command,
        )  # fmt: skip
        return HTMLResponse(text)

    def sheet(_: Request) -> Response:
        return Response(style, media_type="text/css")

    def icon(_: Request) -> Response:
        return Response(_ICON, media_type="image/svg+xml")

    routes = [Route(path, page) for path in PAGES]
    app = Starlette(
        routes=[*routes, Route(STYLE, sheet), Route(ICON, icon)],
        exception_handlers={404: _not_found},
    )
    app.router.redirect_slashes = False
    return app


def _not_found(_: Request, __: Exception) -> Response:
    return PlainTextResponse(f"There is no such page: the pages are {', '.join(PAGES)}.\n", 404)


def _environment() -> Environment:
    """Return the environment of the templates, which escapes all values. An undefined name is an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": lambda number: f"{number:,}",
        "percent": lambda share: f"{share:.1%}",
        "anchor": _anchor,
        "size": format_bytes,
        "colour": colour,
    }
    environment.globals["share_bar"] = share_bar
    return environment


def _style() -> str:
    """Return the style sheet: that of the reports, and what only the console has."""
    reports = Path(rawless.report.__file__).parent
    files = (reports / "page.css", reports / "privacy.css", Path(__file__).parent / "pages" / "console.css")
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def _anchor(kind: str, name: str) -> str:
    """Return the id of an element about something with a name; names have no blanks where they are ours."""
    return f"{kind}-{''.join(letter if letter.isalnum() or letter in '@._-' else '-' for letter in name)}"

"""`rawless console`: a local web page over the warehouse, which only reads."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, print_json, progress
from rawless.errors import UserError

if TYPE_CHECKING:
    from rawless.console.source import ServedHead


def console(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port on this machine; 0 picks a free one.")] = 0,
    services: Annotated[
        list[Path] | None,
        typer.Option("--service", help="The file of a service, for which heads answer or follow; may be repeated."),
    ] = None,
    heads: Annotated[
        Path | None,
        typer.Option("--heads", help="The folder of deployed heads. By default that of the home folder."),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the link, and open no browser.")] = False,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Show streams, encoders, datasets, heads and audits on a local web page, which only reads, until Ctrl-C."""
    from rawless.local import home

    place = home.existing()
    if warehouse is None and place is None:
        raise UserError(
            "There is no home folder here or above, so there is no local warehouse to show: run the command in your "
            f"project, set {home.HOME_VARIABLE}, name a warehouse file by --warehouse, or run `rawless demo` first."
        )
    if heads is not None and not heads.is_dir():
        raise UserError(f"--heads is {heads}, which is no folder: name the one whose heads services answer with.")
    from rawless.connect import open_existing_warehouse, open_warehouse
    from rawless.console import server
    from rawless.console.reads import Reads
    from rawless.console.source import Source

    served = tuple(each for file in services or () for each in _served(file))
    with server.bind(port) as bound:
        with progress("Opening the warehouse"):
            opened = open_existing_warehouse(warehouse, ()) if warehouse else open_warehouse()
        folder = heads or (place / "heads" if place else None)
        source = Source(Reads(opened), opened.config.project, folder, served, warehouse)
        opens = not (no_browser or json) and _has_display()
        links: list[str] = []

        def show(link: str) -> None:
            links.append(link)
            if len(links) == 1:
                _print_first(link, json)
                if opens:
                    _open(link)
            else:
                with suppress(OSError, SystemExit):  # stdout may be closed, which must not fail the request
                    _print_next(link, json)

        server.serve(source, bound, show)
    if not json:
        echo("Stopped.")


def _print_first(link: str, json: bool) -> None:
    if json:
        print_json({"url": link})
    else:
        echo(f"The console is at {link}")
        echo("The link opens it once, in one browser on this machine. Ctrl-C stops the console.")


def _print_next(link: str, json: bool) -> None:
    if json:
        print_json({"url": link})
    else:
        echo(f"Opened. For another browser: {link}")


def _served(file: Path) -> "list[ServedHead]":
    from rawless.console.source import ServedHead
    from rawless.serving.config import load_config

    _, served = load_config(file)
    return [ServedHead(file.stem, each.name, tuple(each.arms), each.shadow) for each in served.values()]


def _has_display() -> bool:
    """Return whether a browser would open a window; one in this terminal would hide what the console prints."""
    return sys.stdout.isatty() and (
        sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    )


def _open(link: str) -> None:
    """Open a link without waiting for the browser to start."""
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()

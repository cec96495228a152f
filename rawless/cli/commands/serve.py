"""`rawless serve`: serve encoders and heads over HTTP."""

import os
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rawless.cli.options import DeviceName, Json, WarehouseFile
from rawless.cli.output import echo, print_json, progress, warn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rawless.serving.app import Dependencies, Role
    from rawless.serving.config import ServeConfig, ServedHead

_LOG_RETRY_SECONDS = 5.0


def serve(
    file: Annotated[Path, typer.Argument(metavar="CONFIG", help="The service file.")],
    role: Annotated[
        Literal["all", "encoder", "classifier", "orchestrator"],
        typer.Option(help="The part of the service that this process runs."),
    ] = "all",
    host: Annotated[
        str,
        typer.Option(help="The address to listen on. Any but a loopback address needs access rules in the file."),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, envvar="PORT", help="The port to listen on; 0 picks a free one.")
    ] = 8080,
    device: DeviceName = "auto",
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Serve predictions for raw content until Ctrl-C, which finishes the requests in progress."""
    from rawless.serving.config import load_config

    config, served = load_config(file)
    from rawless.broken_process import end_when_broken
    from rawless.serving.app import AppFactory, check_access
    from rawless.serving.server import bind_socket, socket_url
    from rawless.serving.server import serve as run

    check_access(config, role, host)
    with bind_socket(host, port) as socket:
        with progress(f"Loading what the role {role} needs"):
            dependencies = _dependencies(role, config, served, device, warehouse)
            app = AppFactory(config, served, dependencies).create_app(role, host)
        url = socket_url(socket)

        def report_started() -> None:
            if json:
                print_json({"role": role, "url": url, "heads": sorted(served), "pid": os.getpid()})
            else:
                page = f"; {url}/docs shows how to call it" if config.has_page else ""
                echo(f"Serving {', '.join(sorted(served))} at {url} (role {role}){page}. Ctrl-C stops the service.")

        end_when_broken()  # a service that cannot answer is started again, or its user sees why
        finished = run(app, socket, config.limits.seconds, report_started)
    if not json:
        outcome = "every accepted request was answered" if finished else "requests in progress were not answered"
        echo(f"Stopped; {outcome}.")


def _dependencies(
    role: "Role", config: "ServeConfig", served: "Mapping[str, ServedHead]", device: DeviceName, file: Path | None
) -> "Dependencies":
    from encoders.release import needs_key
    from rawless.connect import find_key_source, open_existing_warehouse, open_warehouse
    from rawless.local import home, stack
    from rawless.serving.app import Dependencies
    from rawless.warehouse.encoder_registry import resolve
    from rawless.warehouse.leakage_gate import GATE_TABLES

    answered = served.values() if role in ("all", "orchestrator") else ()
    logged = [head for head in answered if head.log]
    indexed = any(head.index for head in served.values()) and role in ("all", "classifier")
    follows = any(head.follows_stream for head in served.values())
    tables = ["encoder_v1"]
    tables += ["stream_pointer_v1"] if follows else []
    tables += ["embedding_event_v1", "prediction_v1"] if logged else []
    tables += GATE_TABLES if any(head.stream.leakage for head in logged) else []
    tables += ["snapshot_manifest_v1"] if indexed else []
    # Without a warehouse file the local one tells which encoder is live, unless this machine has none.
    has_roles = follows and (file is not None or stack.find(home.folder()) is not None)
    opened = cache(lambda: open_existing_warehouse(file, tables) if file else open_warehouse())
    names_someone = config.access is not None or any(head.stream.subject != "none" for head in logged)
    refs = {ref for head in served.values() for ref in (head.encoder, *head.towers)}
    specs = {ref: resolve(opened, ref) for ref in sorted(refs)}
    keyed = (
        (logged and names_someone)
        or any(len(head.arms) > 1 for head in answered)
        or any(needs_key(specs[head.encoder]) for head in logged)
    )
    return Dependencies(
        specs=specs,
        head_folder=config.head_folder or home.heads(),
        warehouse=replace(opened(), retry_seconds=_LOG_RETRY_SECONDS) if logged or indexed or has_roles else None,
        pseudonym_key=find_key_source(file).load() if keyed else None,
        device=device,
        report=_warn,
    )


def _warn(message: str) -> None:
    with suppress(OSError, SystemExit):  # stderr may be closed, which must not end the service
        warn(message)

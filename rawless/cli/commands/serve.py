"""`rawless serve`: encoders and heads behind one door."""

import os
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rawless.cli.options import DeviceName, Json, WarehouseFile
from rawless.cli.output import print_json, progress, say, warn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rawless.serving.app import Dependencies, Role
    from rawless.serving.config import ServeConfig, ServedHead

_LOG_RETRY_SECONDS = 5.0


def serve(
    file: Annotated[Path, typer.Argument(metavar="CONFIG", help="The service file.")],
    role: Annotated[
        Literal["all", "encoder", "classifier", "orchestrator"], typer.Option(help="Which part this process is.")
    ] = "all",
    host: Annotated[str, typer.Option(help="The address; others than this machine's own need access in the file.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, envvar="PORT", help="0 is any that is free.")] = 8080,
    device: DeviceName = "auto",
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Answer requests until Ctrl-C: raw content in, a prediction out. It finishes what it holds."""
    from rawless.serving.app import AppFactory, check_access
    from rawless.serving.config import load_config
    from rawless.serving.server import bind_socket, socket_url
    from rawless.serving.server import serve as run

    config, served = load_config(file)
    check_access(config, role, host)
    with bind_socket(host, port) as at:
        with progress(f"Loading what {role} needs"):
            app = AppFactory(config, served, _given(role, config, served, device, warehouse)).create_app(role, host)
        where = socket_url(at)

        def started() -> None:
            if json:
                print_json({"role": role, "url": where, "heads": sorted(served), "pid": os.getpid()})
            else:
                say(f"{', '.join(sorted(served))} at {where} (role {role}); Ctrl-C finishes what is held and stops.")

        finished = run(app, at, config.limits.seconds, started)
    if not json:
        told = "every request that was taken was answered" if finished else "what was held was not answered"
        say(f"Stopped; {told}.")


def _given(
    role: "Role", config: "ServeConfig", served: "Mapping[str, ServedHead]", device: DeviceName, file: Path | None
) -> "Dependencies":
    from rawless.connect import open_key_source, open_warehouse
    from rawless.local import home
    from rawless.serving.app import Dependencies
    from rawless.warehouse.encoder_registry import resolve

    opened = cache(lambda: open_warehouse(file))  # a service with nothing to log and no index needs none
    logged = [head for head in served.values() if head.log and role in ("all", "orchestrator")]
    indexed = any(head.index for head in served.values()) and role in ("all", "classifier")
    subjects = any(head.stream.subject != "none" for head in logged)
    return Dependencies(
        specs={head.encoder: resolve(opened, head.encoder) for head in served.values()},
        head_folder=config.head_folder or home.heads(),
        warehouse=replace(opened(), retry_seconds=_LOG_RETRY_SECONDS) if logged or indexed else None,
        pseudonym_key=open_key_source(opened()).load() if subjects else None,
        device=device,
        report=_told,
    )


def _told(sentence: str) -> None:
    with suppress(OSError, SystemExit):  # whoever listened may be gone, which ends no service
        warn(sentence)

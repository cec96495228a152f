"""`rawless doctor`: whether this machine can run Rawless, and what to mend."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, print_json, progress
from rawless.doctor.finding import Finding
from rawless.errors import RawlessError, UserError
from rawless.local import home
from rawless.local import stack as local_stack

_FREE_BYTES = 2 * 10**9


def _python() -> str:
    return f"Python {sys.version.split()[0]}"


def _disk() -> str:
    free = shutil.disk_usage(home.folder()).free
    if free < _FREE_BYTES:
        raise RawlessError(f"only {free / 1e9:.1f} GB free where {home.folder()} is: free 2 GB, or set RAWLESS_HOME")
    return f"{free / 1e9:.0f} GB free at {home.folder()}"


def _stack() -> str:
    from rawless.connect import open_warehouse
    from rawless.warehouse import tables

    open_warehouse(None)
    stack = local_stack.up(home.folder())
    return f"BigQuery at {stack.bigquery.rest}, {len(tables.names())} tables; Pub/Sub at {stack.pubsub}"


def _key() -> str:
    from rawless.connect import LOCAL_CONFIG, open_key_source
    from rawless.warehouse.client import Warehouse
    from rawless.warehouse.config import Emulator

    return f"pseudonym key {open_key_source(Warehouse(LOCAL_CONFIG, Emulator('', ''))).load().key_id}"


def _device() -> str:
    import torch

    return f"CUDA, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "CPU (torch sees no CUDA device)"


def _encoder(ref: str) -> str:
    from encoders.catalogue import lookup
    from encoders.load import load
    from encoders.probe import deviation

    encoder = load(lookup(ref))
    off = f"off by {deviation(encoder):.1e} of {encoder.spec.tolerance:.0e}"
    return f"{ref} gives its golden probe ({off}), run by {encoder.runtime}"


_CHECKS: dict[str, Callable[[], str]] = {
    "python": _python,
    "disk": _disk,
    "local stack": _stack,
    "pseudonym key": _key,
    "device": _device,
    "text encoder": partial(_encoder, "minilm@1.0.0"),
    "image encoder": partial(_encoder, "resnet18-seeded@1.0.0"),
}


def _look(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except RawlessError as error:
        return Finding(name, False, str(error))
    except (ImportError, OSError) as error:
        return Finding(name, False, f"{type(error).__name__}: run `make setup` again")


def doctor(
    context: typer.Context,
    warehouse: WarehouseFile = None,
    source: Annotated[
        str | None, typer.Option(help="With --warehouse: the subscription of the job, as pubsub:projects/P/….")
    ] = None,
    json: Json = False,
) -> None:
    """Look at everything that a local run needs; exit code 1 when something has to be mended.

    With --warehouse: at what the warehouse on Google Cloud needs, and what the job whose Beam options come after --
    would need; each thing that is missing comes with the command that mends it, and the exit code is 2.
    """
    if warehouse is None and (context.args or source):
        raise UserError("Options of a job are looked at with --warehouse FILE alone: name one, or leave them out.")
    with progress("Looking"):
        findings = _preflight(warehouse, context.args, source) if warehouse else _here()
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            echo(f"{'ok  ' if finding.ok else 'MEND'} {finding.check}: {finding.detail}")
            if finding.command:
                echo(f"     {finding.command}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(2 if warehouse else 1)


def _here() -> list[Finding]:
    return [_look(name, check) for name, check in _CHECKS.items()]


def _preflight(file: Path, arguments: list[str], source: str | None) -> list[Finding]:
    from rawless.doctor.run import findings

    return findings(file, arguments, source)

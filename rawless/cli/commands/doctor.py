"""`rawless doctor`: check the local machine, or what a job on Google Cloud needs."""

from pathlib import Path
from typing import Annotated

import typer

from rawless.cli.findings import print_findings
from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import progress
from rawless.errors import UserError


def doctor(
    context: typer.Context,
    warehouse: WarehouseFile = None,
    source: Annotated[
        str | None, typer.Option(help="With --warehouse: the subscription of the job, as pubsub:projects/P/….")
    ] = None,
    stream: Annotated[
        Path | None, typer.Option(help="With --warehouse: the stream file, whose leakage gate is checked, too.")
    ] = None,
    json: Json = False,
) -> None:
    """Check everything that a local run needs. The exit code is 1 if a check fails.

    With --warehouse, check the warehouse on Google Cloud, and the job whose Beam options follow after --.
    Each failed check prints the command that fixes it, and the exit code is 2.
    """
    if warehouse is None and (context.args or source or stream):
        raise UserError("Options of a job are only checked with --warehouse FILE: add it, or leave them out.")
    with progress("Checking"):
        if warehouse:
            from rawless.doctor.preflight import run_preflight

            findings = run_preflight(warehouse, context.args, source, stream)
        else:
            from rawless.doctor.machine import check_machine

            findings = check_machine()
    print_findings(findings, json=json)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(2 if warehouse else 1)

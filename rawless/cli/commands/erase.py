"""`rawless erase`: delete all rows of persons or of an event, and certify it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rawless.cli.options import Json, SubjectForm, WarehouseFile
from rawless.cli.output import echo, note, print_json, print_table, progress_steps

if TYPE_CHECKING:
    from rawless.audit.erasure.certificate import Certificate
    from rawless.audit.erasure.erase import Plan
    from rawless.audit.erasure.requested import Event, Persons
    from rawless.warehouse.client import Warehouse


def erase(
    subjects_file: Annotated[
        str | None,
        typer.Option("--subjects-file", help="A file of the persons' ids, one a line; - reads them from stdin."),
    ] = None,
    event: Annotated[str | None, typer.Option("--event", help="The id of one event, with --stream.")] = None,
    stream: Annotated[str | None, typer.Option("--stream", help="The stream of the event.")] = None,
    planned: Annotated[bool, typer.Option("--plan", help="Print what would be deleted, and change nothing.")] = False,
    again: Annotated[
        bool,
        typer.Option("--again", help="Delete rows of erased persons and events that arrived since, as by a replay."),
    ] = False,
    subject_form: SubjectForm = "",
    earlier_key: Annotated[
        list[str] | None,
        typer.Option("--earlier-key", help="The file or secret version of an earlier pseudonym key; may be repeated."),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="Write the certificate to this file: JSON if it ends in .json.")
    ] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Delete all rows of persons, or of one event, from events, rejections, predictions, snapshots and the subject map.

    Ids of persons are read from a file or stdin, never from an argument. First use --plan. An erasure that was
    interrupted is finished by the next run. Business tables, exported files and heads are listed, not deleted.
    """
    from rawless.audit.erasure import erase as erasures
    from rawless.connect import open_warehouse

    _check(subjects_file, event, stream, certificate, planned=planned, again=again)
    opened = open_warehouse(warehouse)
    requested = None if again else _requested(opened, subjects_file, event, stream, subject_form, earlier_key or [])
    if requested and planned:
        with progress_steps("Planning the erasure") as report_step:
            plan = erasures.plan(opened, requested, report_step)
        _print_plan(plan, json=json)
        return
    with progress_steps("Erasing") as report_step:
        done = [erasures.erase(opened, requested, report_step)] if requested else None
        done = done or erasures.erase_again(opened, report_step)
    if json:
        print_json(_as_json(done))
    else:
        _print(done)
    if certificate:  # last: what was erased is printed in any case
        _write(certificate, done)


def _check(
    subjects_file: str | None,
    event: str | None,
    stream: str | None,
    certificate: Path | None,
    *,
    planned: bool,
    again: bool,
) -> None:
    from rawless.errors import UserError

    if sum((subjects_file is not None, event is not None, again)) != 1:
        raise UserError("Name one of --subjects-file, --event and --again.")
    if (event is None) != (stream is None):
        raise UserError("An event is named by --event and --stream together.")
    if planned and again:
        raise UserError("--plan goes with --subjects-file or --event.")
    if planned and certificate:
        raise UserError("--certificate goes without --plan: a plan erases nothing.")
    if certificate and not certificate.absolute().parent.is_dir():
        raise UserError(f"--certificate is {certificate}, but its folder does not exist: create it first.")


def _requested(
    warehouse: "Warehouse",
    subjects_file: str | None,
    event: str | None,
    stream: str | None,
    subject_form: str,
    earlier_keys: list[str],
) -> "Persons | Event":
    from rawless.audit.erasure.requested import Event, read_persons
    from rawless.connect import open_key_source
    from rawless.errors import UserError
    from rawless.privacy.pseudonyms import named_key
    from rawless.privacy.subject_ids import parse_steps

    if event is not None and stream is not None:
        return Event(stream, event)
    form = parse_steps(subject_form)
    keys = [open_key_source(warehouse).load(), *map(named_key, earlier_keys)]
    if subjects_file == "-":
        return read_persons(sys.stdin.buffer, keys, form)
    try:
        with Path(str(subjects_file)).open("rb") as file:
            return read_persons(file, keys, form)
    except OSError as error:
        raise UserError(f"The file of subjects cannot be read ({type(error).__name__}).") from None


def _print_plan(plan: "Plan", *, json: bool) -> None:
    from rawless.audit.erasure.certificate import NOTHING_FOUND

    if json:
        print_json({"persons": plan.persons, "events": plan.events,
                    "findings": [each._asdict() for each in plan.findings]})  # fmt: skip
        return
    title = f"To erase: {plan.persons:,} persons, {plan.events:,} events"
    if plan.findings:
        print_table([each._asdict() for each in plan.findings], title)
    else:
        echo(f"{title}. {NOTHING_FOUND}")
    note("Nothing was changed: this is a plan.")


def _as_json(done: "list[Certificate]") -> dict[str, Any]:
    return {"certificates": [each.to_json() for each in done]}


def _print(done: "list[Certificate]") -> None:
    for each in done:
        for line in each.lines():
            echo(line)
    if not done:
        echo("No row of an erased person or event has arrived since.")


def _write(path: Path, done: "list[Certificate]") -> None:
    from rawless.cli.output import json_text
    from rawless.errors import UserError
    from rawless.files import write_text

    if path.suffix == ".json":
        text = json_text(_as_json(done))
    else:
        text = "\n\n".join("\n".join(each.lines()) for each in done)
    try:
        write_text(path, text + "\n")
    except OSError as error:
        raise UserError(f"The certificate cannot be written to {path} ({type(error).__name__}).") from None

"""`rawless init`: write the first files of a project, from questions or after a look at a file or folder."""

import shlex
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rawless.cli.options import Json
from rawless.cli.output import echo, note, print_json
from rawless.cli.questions import ask, can_ask
from rawless.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rawless.scaffold.facts import Facts
    from rawless.scaffold.plan import Plan
    from rawless.scaffold.proposal import Proposal, Role

NONE = "none"
_OPTIONS: "dict[Role, str]" = {
    "content": "--content", "id": "--id", "time": "--time", "subject": "--subject", "label": "--label",
}  # fmt: skip
_QUESTIONS: "dict[Role, str]" = {
    "content": "Column with the content: text, or names of images",
    "id": "Column with the ids of events; none numbers the rows",
    "time": "Column with the time of the event; none takes that of the file",
    "subject": "Column with the id of the person; none if there is none",
    "label": "Column with the label to learn; none if there is none",
}
_COLUMN = f"A column, or {NONE}; by default the one that its name and values suggest."


def init(
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="PATH",
            help="Look at a CSV, JSON Lines or Parquet file, or a folder of images.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="The folder to write to. By default the name.", show_default=False)
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="The name of stream, dataset and head.", show_default=False)
    ] = None,
    modality: Annotated[
        Literal["text", "image"] | None,
        typer.Option("--modality", help="Without --from: what the events are.", show_default=False),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option("--classes", metavar="A,B,…", help="Without --from: the classes to learn.", show_default=False),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="NAME@VERSION or a spec's path.", show_default=False)
    ] = None,
    content: Annotated[str | None, typer.Option("--content", help=_COLUMN, show_default=False)] = None,
    id_column: Annotated[str | None, typer.Option("--id", help=_COLUMN, show_default=False)] = None,
    time: Annotated[str | None, typer.Option("--time", help=_COLUMN, show_default=False)] = None,
    subject: Annotated[str | None, typer.Option("--subject", help=_COLUMN, show_default=False)] = None,
    label: Annotated[str | None, typer.Option("--label", help=_COLUMN, show_default=False)] = None,
    attributes: Annotated[
        list[str] | None,
        typer.Option(
            "--attribute", help=f"A column to store beside the embedding, or {NONE}; repeatable.", show_default=False
        ),
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option("--events", help="The file for the rows as events. It contains the content.", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Take what is proposed, without questions.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    json: Json = False,
) -> None:
    """Write a stream, a dataset, a label, a head and a service file with comments, and print what to do with them.

    On a terminal it asks, and proposes an answer to each question. With --from it looks at your data first: names of
    columns come into the files, and values only if they are few, short, plain and frequent. Nothing of it is printed.
    """
    asks = can_ask() and not yes
    given: dict[Role, str | None] = {
        "content": content, "id": id_column, "time": time, "subject": subject, "label": label,
    }  # fmt: skip
    if source:
        if modality or classes:
            raise UserError(
                "--modality and --classes are for projects without --from, which looks for both: leave them out."
            )
        plan = _from_source(source, to, name, encoder, given, attributes, events, asks)
    else:
        if events or attributes or any(given.values()):
            raise UserError("Columns and --events belong to a source: name it by --from, or leave them out.")
        plan = _from_answers(to, name, modality, classes, encoder, asks)
    from rawless.scaffold.plan import write

    write(plan, force=force)
    _print(plan, json)


def _from_source(
    source: Path,
    to: Path | None,
    name: str | None,
    encoder: str | None,
    given: "dict[Role, str | None]",
    attributes: list[str] | None,
    events: Path | None,
    asks: bool,
) -> "Plan":
    from rawless.scaffold.facts import facts_of, tells
    from rawless.scaffold.plan import ENCODERS, check_name, content_of, modality_of, name_of, plan_from_rows, stream_of
    from rawless.scaffold.rows import read_rows

    rows = read_rows(source)
    columns = facts_of(rows)
    stream = stream_of(rows)
    if stream and name and name != stream:
        raise UserError(f"--name is {name!r}, but the events name the stream {stream}: leave it out.")
    called = stream or (check_name(name, "--name") if name else name_of(source))
    if asks and not name and not stream:
        called = ask("Name of stream, dataset and head", called, lambda answer: check_name(answer, "The name"))
    if content := content_of(rows):  # the other columns of events have their own names, too
        given = {**given, "content": content, "id": NONE, "time": NONE, "subject": NONE}
    proposal = _proposal(columns, given, attributes, partial(tells, rows), asks)
    if rows.are_events:
        proposal = replace(proposal, id=None, time="occurred_at")
        proposal = replace(proposal, subject="subject_id" if "subject_id" in columns else None)
    kind = modality_of(rows, proposal, columns)
    chosen = encoder or (ask("Encoder", ENCODERS[kind], str) if asks else ENCODERS[kind])
    beside = f"{called}_project" if Path(called).exists() else called
    folder = to or Path(ask("Folder to write to", beside, str) if asks else beside)
    if events is None and asks and not rows.are_events:
        events = Path(ask("File for the rows as events, which contains the content", f"{called}_events.jsonl", str))
    return plan_from_rows(
        rows, columns, proposal, name=called, folder=folder, events=events,
        encoder=_encoder(chosen, kind),
    )  # fmt: skip


def _proposal(
    columns: "Mapping[str, Facts]",
    given: "dict[Role, str | None]",
    attributes: list[str] | None,
    tells_label: "Callable[[str, str], bool]",
    asks: bool,
) -> "Proposal":
    from rawless.scaffold.proposal import check_attributes, check_role, may_be_attribute, propose

    def role_column(role: "Role", option: str, answer: str) -> str | None:
        if answer == NONE and role != "content" and NONE not in columns:
            return None
        return check_role(role, answer, columns, option)

    named = {role: role_column(role, _OPTIONS[role], answer) for role, answer in given.items() if answer}
    found = propose(columns, named, tells_label)
    if asks:
        for role in (role for role in _QUESTIONS if role not in named):
            default = getattr(found, role) or NONE
            named[role] = ask(_QUESTIONS[role], default, partial(role_column, role, "The answer"))
            found = propose(columns, named, tells_label)
    if attributes is not None:
        return replace(found, attributes=check_attributes([] if attributes == [NONE] else attributes, columns))
    used = {getattr(found, role) for role in _QUESTIONS}
    if asks and any(may_be_attribute(each) for name, each in columns.items() if name not in used):
        default = ",".join(found.attributes) or NONE
        chosen = ask(
            "Columns to store beside the embedding, with commas, or none", default,
            lambda answer: check_attributes(_list(answer), columns),
        )  # fmt: skip
        return replace(found, attributes=chosen)
    return found


def _list(answer: str) -> list[str]:
    return [] if answer == NONE else [each.strip() for each in answer.split(",") if each.strip()]


def _from_answers(
    to: Path | None, name: str | None, modality: str | None, classes: str | None, encoder: str | None, asks: bool
) -> "Plan":
    from datetime import UTC, datetime

    from rawless.scaffold.files import Project
    from rawless.scaffold.plan import ENCODERS, check_name, plan_from_answers

    options = {"--name": name, "--modality": modality, "--classes": classes}
    if not asks and (missing := [option for option, value in options.items() if not value]):
        raise UserError(
            f"Without a terminal to ask on, init needs {', '.join(missing)}: add them, or name your data by --from."
        )
    called = check_name(name, "--name") if name else ask("Name of stream, dataset and head", "messages", _name)
    kind = modality or ask("What are the events, text or image", "text", _modality)
    listed = _classes(classes) if classes else ask("Classes to learn, with commas", "yes,no", _classes)
    ref = encoder or (ask("Encoder", ENCODERS[kind], str) if asks else ENCODERS[kind])
    of_person = (
        ask("Does an event name its person: required, optional or none", "optional", _subject) if asks else "optional"
    )
    project = Project(
        name=called, modality=kind, encoder=ref, encoder_ref=_encoder(ref, kind)[1], event_id="uuid",
        subject=of_person, attributes={}, classes=listed, as_of=datetime.now(UTC).replace(microsecond=0),
        formats=("jpeg", "png") if kind == "image" else (),
    )  # fmt: skip
    return plan_from_answers(project, to or Path(called))


def _name(answer: str) -> str:
    from rawless.scaffold.plan import check_name

    return check_name(answer, "The name")


def _modality(answer: str) -> str:
    return _one_of(answer, ("text", "image"))


def _subject(answer: str) -> str:
    return _one_of(answer, ("required", "optional", NONE))


def _one_of(answer: str, known: tuple[str, ...]) -> str:
    if answer not in known:
        raise UserError(f"The answer is {answer!r}, but must be {' or '.join(known)}.")
    return answer


def _classes(answer: str) -> tuple[str, ...]:
    from rawless.scaffold.class_names import class_names

    values = [each.strip() for each in answer.split(",") if each.strip()]
    names = class_names(values)
    if len(names) < len(values) or any(name != value for value, name in names.items()):
        raise UserError("The classes must be 2 to 1,000 different names of letters, digits, _, . and -, with commas.")
    return tuple(values)


def _encoder(ref: str, modality: str) -> tuple[str, str]:
    """Return what a stream file names for an encoder, and its reference. Raises UserError for another modality."""
    from encoders.catalogue import lookup

    spec = lookup(ref)
    if spec.modality != modality:
        raise UserError(f"The encoder {ref} takes {spec.modality}, but the events are {modality}: name another.")
    is_path = ref.endswith((".yaml", ".yml"))
    return str(Path(ref).absolute()) if is_path else ref, spec.ref


def _print(plan: "Plan", json: bool) -> None:
    from rawless.scaffold.files import NOW

    lines = [" ".join(word if word == NOW else shlex.quote(word) for word in command) for command in plan.commands]
    if json:
        found = {name: value for name, value in asdict(plan.project).items() if name not in ("attributes", "classes")}
        print_json({"files": [str(path) for path in plan.files], "events": plan.events and str(plan.events),
                    "project": found, "commands": lines, "notes": plan.notes})  # fmt: skip
        return
    for path in plan.files:
        echo(f"Wrote {path}.")
    for each in plan.notes:
        note(f"Note: {each}")
    echo("")
    echo("What next:")
    for line in lines:
        echo(f"  {line}")

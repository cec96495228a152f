"""`Plan`: everything that `rawless init` would write and print, and writing it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from rawless.content import DEFAULT_FORMATS
from rawless.errors import UserError
from rawless.events.payload import FORMS
from rawless.events.stream import MAX_AGE
from rawless.files import OWNER_ONLY, atomic_write
from rawless.privacy import Raw
from rawless.scaffold.events import EventForm, as_events, as_labels, only_value, uri_prefix
from rawless.scaffold.facts import MIN_ROWS_OF_VALUE, Facts, images_among
from rawless.scaffold.files import Project, commands, render
from rawless.scaffold.proposal import Proposal, describe, is_named_like_time, with_rare_classes
from rawless.scaffold.rows import SourceRows

NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")
"""The names of streams, datasets and heads, with room for what is appended to them."""
_FEWEST_ID_DIGITS = 6
ENCODERS = {"text": "minilm@1.0.0", "image": "resnet18-seeded@1.0.0"}
"""What is proposed: encoders that need no download."""


@dataclass(frozen=True)
class Plan:
    """What would be written."""

    project: Project
    files: Mapping[Path, bytes | Raw[bytes]]
    """All files by their path."""
    events: Path | None
    """The file among them that contains content."""
    commands: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default=())
    """Sentences about what the user should know."""


def name_of(path: Path) -> str:
    """Return the name that a file or folder suggests for what is made of it."""
    plain = re.sub(r"[^a-z0-9]+", "_", path.absolute().name.split(".")[0].lower()).strip("_")[:50].rstrip("_")
    return plain if NAME.fullmatch(plain) else f"data_{plain}"[:50].rstrip("_")


def check_name(name: str, option: str) -> str:
    """Return a name. Raises UserError if it is none."""
    if not NAME.fullmatch(name):
        raise UserError(f"{option} is {name!r}, but must be at most 50 of a-z, 0-9 and _, and start with a letter.")
    return name


def modality_of(rows: SourceRows, proposal: Proposal, columns: Mapping[str, Facts]) -> str:
    """Return the modality of a column of content: image if it names images."""
    return "image" if rows.is_folder or columns[proposal.content].are_images else "text"


def stream_of(rows: SourceRows) -> str | None:
    """Return the stream that events name. Raises UserError if they name several, or one that is not valid."""
    if not rows.are_events or "stream" not in rows.names:
        return None
    name = only_value(rows, "stream")
    if name is None or not NAME.fullmatch(name):
        raise UserError(
            f"The events of {rows.path} do not all name one stream, whose name is at most 50 of a-z, 0-9 and _: divide "
            "them into a file for each stream."
        )
    return name


def content_of(rows: SourceRows) -> str | None:
    """Return the column with the content of events; None if the rows are none, and it must be looked for."""
    return next((form for form in FORMS if form in rows.names), None) if rows.are_events else None


def plan_from_rows(
    rows: SourceRows,
    columns: Mapping[str, Facts],
    proposal: Proposal,
    *,
    name: str,
    encoder: tuple[str, str],
    folder: Path,
    events: Path | None,
) -> Plan:
    """Return the plan of a project whose data is in a file or folder.

    `encoder` is what the stream file names, and its reference; `events` the file to write events to, which a source of
    events does without. Raises UserError.
    """
    modality = modality_of(rows, proposal, columns)
    digits = max(_FEWEST_ID_DIGITS, len(str(columns[proposal.content].rows)))
    form = EventForm(proposal, name, is_image=modality == "image", id_digits=digits)
    project = _project(rows, columns, form, modality, encoder)
    files: dict[Path, bytes | Raw[bytes]] = {folder / each: text.encode() for each, text in render(project).items()}
    described = replace(proposal, id="event_id") if rows.are_events else proposal
    notes, labels = [describe(described, columns)], None
    notes += [
        f"{each.name} is named like a time, but some of its values are no times or dates: correct them in the source."
        for each in columns.values()
        if is_named_like_time(each) and not each.is_time
    ]
    if project.classes:
        labels = folder / f"{project.table}.csv"
        files[labels] = as_labels(rows, form).content
    else:
        notes.append(_without_label(columns))
    if rows.are_events:
        source = f"{'parquet' if rows.path.suffix == '.parquet' else 'jsonl'}:{rows.path}"
    elif events is None:
        raise UserError(_needs_events(rows, proposal))
    else:
        if _is_source(events, rows):
            raise UserError(f"--events names {events}, which is the source itself: name another file.")
        written = as_events(rows, form)
        files[events], source = written.content, f"jsonl:{events}"
        notes += _notes(rows, proposal, written.left_out, written.too_old, events)
    for path in files:
        if _is_source(path, rows):
            raise UserError(
                f"{path} is one of the files to write, and the source itself: choose another folder by --to, or "
                "another name by --name."
            )
    if project.encoder == ENCODERS["image"]:
        notes.append(
            f"{project.encoder} has random weights: it is good for trying this out, and docs/images.md says which "
            "encoders are good for your data."
        )
    return Plan(
        project, files, None if rows.are_events else events, commands(project, folder, source, labels), notes
    )  # fmt: skip


def plan_from_answers(project: Project, folder: Path) -> Plan:
    """Return the plan of a project without data; words in capitals in its commands are to be replaced."""
    files: dict[Path, bytes | Raw[bytes]] = {folder / each: text.encode() for each, text in render(project).items()}
    labels = Path("LABELS.csv") if project.classes else None
    notes = (
        [f"The labels are a file with the columns event_id, label and labelled_at, here {labels}."] if labels else []
    )
    return Plan(project, files, None, commands(project, folder, "jsonl:EVENTS.jsonl", labels), notes)


def write(plan: Plan, *, force: bool) -> None:
    """Write the files of a plan, readable by their owner only. Raises UserError before the first if one exists."""
    if not force and (existing := [path for path in plan.files if path.exists()]):
        raise UserError(f"{existing[0]} exists: choose another folder by --to, or add --force to replace it.")
    # The events, which another folder may refuse, come first, so that then nothing is left.
    for path, content in sorted(plan.files.items(), key=lambda each: each[0] != plan.events):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path, mode=OWNER_ONLY) as file:
                file.write(content.reveal() if isinstance(content, Raw) else content)
        except OSError as error:
            raise UserError(f"{path} cannot be written ({type(error).__name__}): check the folder.") from None


def _project(
    rows: SourceRows, columns: Mapping[str, Facts], form: EventForm, modality: str, encoder: tuple[str, str]
) -> Project:
    proposal = form.proposal
    own = "event_id" if rows.are_events else proposal.id
    pattern = columns[own].id_pattern if own else form.id_pattern
    if pattern is None:
        raise UserError(
            f"The ids of events in {rows.path} must be at most 128 of A-Za-z0-9_.:/+-, without blanks: change them."
        )
    is_image = modality == "image"
    used = {proposal.content, proposal.id, proposal.time, proposal.subject, proposal.label, *proposal.attributes}
    has_uris = proposal.content == "uri" or (is_image and proposal.content != "payload_base64")
    prefix = uri_prefix(rows, form) if has_uris else None
    if has_uris and prefix is None:
        raise UserError(f"The objects of {rows.path} have no folder in common: put them into one bucket or folder.")
    return Project(
        name=form.stream,
        modality=modality,
        encoder=encoder[0],
        encoder_ref=encoder[1],
        event_id=pattern,
        subject="none" if not proposal.subject else "optional" if columns[proposal.subject].missing else "required",
        attributes={name: columns[name].values for name in proposal.attributes},
        classes=columns[proposal.label].classes if proposal.label else (),
        as_of=datetime.now(UTC).replace(microsecond=0),
        uri_prefixes=(prefix,) if prefix else (),
        formats=(images_among(rows, proposal.content) or DEFAULT_FORMATS) if is_image else (),
        dropped=tuple(name for name in columns if name not in used and name not in ("stream", "event_id")),
    )


def _is_source(path: Path, rows: SourceRows) -> bool:
    """Return whether a path leads to the source, also by a link or another way."""
    return path.exists() and path.samefile(rows.path)


def _without_label(columns: Mapping[str, Facts]) -> str:
    sentence = "Without a label there is only a stream file; --label names the column of one."
    if rare := with_rare_classes(columns):
        sentence += (
            f" {rare} is named like one, but has values in fewer than {MIN_ROWS_OF_VALUE} rows, which could identify "
            "them as classes in the files."
        )
    return sentence


def _needs_events(rows: SourceRows, proposal: Proposal) -> str:
    if rows.is_folder:
        return (
            "A folder of images says neither which event each image is nor when it occurred: name a file by --events "
            "FILE.jsonl, to which init writes an event for each image, with its path."
        )
    missing = [name for name in ("event_id", "occurred_at", "stream", proposal.content) if name not in rows.names]
    lacks = f"has no column {missing[0]}" if missing[:1] != [proposal.content] and missing else "is no JSON Lines file"
    return (
        f"`rawless ingest` cannot read {rows.path} as it is, which {lacks}: name a file by --events FILE.jsonl, to "
        "which init writes its rows as events. It contains the content, so put it where the source is."
    )


def _notes(rows: SourceRows, proposal: Proposal, left_out: int, too_old: int, events: Path) -> list[str]:
    what = "the paths of the images" if rows.is_folder else "the content"
    notes = [f"{events} contains {what}: keep it where the source may be, and delete it when it was ingested."]
    if left_out:
        notes.append(f"{left_out:,} rows have no {proposal.content} and were left out.")
    if proposal.id is None:
        notes.append("The events are numbered, since no column has their ids: the ids are valid for this file only.")
    if proposal.time is None:
        notes.append(f"All events have the time at which {rows.path} was changed last, since no column has times.")
    if too_old:
        notes.append(
            f"{too_old:,} events occurred more than {MAX_AGE.days:,} days ago and will be rejected; with --time none, "
            "they have the time at which the file was changed last."
        )
    return notes

"""The files of a project, with comments: what each field means, and what a user is likely to change."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel

from rawless.config import check, parse_mapping
from rawless.datasets.spec import DatasetSpec
from rawless.events.stream import Stream
from rawless.heads.spec import HeadSpec

STREAM, DATASET, HEAD, SERVICE = "stream.yaml", "dataset.yaml", "head.yaml", "service.yaml"
NOW = '"$(date -u +%FT%TZ)"'
"""What a shell replaces by the current time."""
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Project:
    """What the files describe."""

    name: str
    """Of stream, dataset and head."""
    modality: str
    encoder: str
    """What the stream file names: NAME@VERSION, or the path of a spec."""
    encoder_ref: str
    """NAME@VERSION."""
    event_id: str
    """`uuid`, `ulid` or a pattern."""
    subject: str
    attributes: Mapping[str, tuple[str, ...]]
    classes: tuple[str, ...]
    """Without any there is no label, and then the stream file is the only one."""
    as_of: datetime
    uri_prefixes: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    """Columns of the source that are neither stored nor used."""

    @property
    def label(self) -> str:
        """Return the name of the label."""
        return f"{self.name}_label"

    @property
    def table(self) -> str:
        """Return the name of the business table that contains the labels."""
        return f"{self.name}_labels"

    @property
    def label_file(self) -> str:
        """Return the path of the label's SQL."""
        return f"labels/{self.label}.sql"


def render(project: Project) -> dict[str, str]:
    """Return the text of each file by its path. Raises UserError where one would not be valid."""
    models: dict[str, type[BaseModel]] = {STREAM: Stream, DATASET: DatasetSpec, HEAD: HeadSpec}
    names = (STREAM, DATASET, HEAD, SERVICE) if project.classes else (STREAM,)
    files = {name: _render(name, project) for name in names}
    for name, model in models.items():
        if name in files:
            where = f"The {name} that init would write"
            check(parse_mapping(files[name], where=where), model, where=where)
    return files | ({project.label_file: _render("label.sql", project)} if project.classes else {})


def commands(project: Project, folder: Path, source: str, labels: Path | None) -> list[Sequence[str]]:
    """Return the commands that lead from the files to a head that answers, in order."""
    stream = str(folder / STREAM)
    ingest = [
        ("rawless", "stream", "check", stream),
        ("rawless", "ingest", "--stream", stream, "--source", source),
    ]
    if labels is None:
        return [*ingest, ("rawless", "status")]
    return [
        *ingest,
        ("rawless", "load", project.table, str(labels)),
        ("rawless", "dataset", "build", str(folder / DATASET), "--as-of", NOW),
        ("rawless", "head", "train", str(folder / HEAD)),
        ("rawless", "head", "deploy", project.name),
        ("rawless", "serve", str(folder / SERVICE)),
    ]


def _render(name: str, project: Project) -> str:
    of_form = project.event_id in ("uuid", "ulid")
    values = {each: getattr(project, each) for each in ("label", "table")} | asdict(project)
    values |= {"event_id": project.event_id if of_form else {"pattern": project.event_id}}
    values |= {"as_of": f"{project.as_of:%Y-%m-%dT%H:%M:%SZ}"}
    return _environment().get_template(f"{name}.jinja").render(values)


@cache
def _environment() -> Environment:
    made = Environment(  # noqa: S701 - YAML and SQL, no HTML
        loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True
    )
    made.filters["flow"] = _flow
    return made


def _flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=100_000, allow_unicode=True)
    return text.strip().removesuffix("...").strip()

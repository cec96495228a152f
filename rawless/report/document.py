"""Render templates to HTML documents, and write these, readable by their owner only."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from rawless.errors import UserError
from rawless.files import write_text


def template(name: str, **filters: Callable[..., Any]) -> Template:
    """Return a template of this folder, which escapes all values. An undefined name is an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({"count": lambda number: f"{number:,}"} | filters)
    return environment.get_template(name)


def write_document(path: Path, text: str) -> None:
    """Write a document to `path` (mode 0600), replacing an existing file. Raises UserError if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except OSError as error:
        raise UserError(f"The report {path} cannot be written ({type(error).__name__}): use another file.") from None

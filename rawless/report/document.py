"""Render templates to HTML documents, and write these, readable by their owner only."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


def check_writable(path: Path) -> None:
    """Raise UserError unless documents can be written beside `path`, before one is made, which may take a minute."""
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()


def write_document(path: Path, text: str) -> None:
    """Write a document to `path` (mode 0600), replacing an existing file. Raises UserError if it cannot be written."""
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"The report {path} cannot be written ({type(error).__name__}): use another file.") from None

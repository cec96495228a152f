"""Render SQL templates and users' queries: Jinja inserts names only, values are passed as query parameters."""

from functools import cache

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rawless.warehouse.tables import FOLDER


@cache
def environment() -> ImmutableSandboxedEnvironment:
    """Return a sandboxed Jinja environment, since users write templates too. An undefined name is an error."""
    loader = jinja2.FileSystemLoader(FOLDER)
    return ImmutableSandboxedEnvironment(loader=loader, undefined=jinja2.StrictUndefined, autoescape=False)

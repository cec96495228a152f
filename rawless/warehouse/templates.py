"""The rendering of SQL, our templates and users' queries: Jinja places names, values go in as parameters only."""

from functools import cache

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rawless.warehouse.tables import FOLDER


@cache
def environment() -> ImmutableSandboxedEnvironment:
    """A sandbox, since users write templates too, in which a name that is not there is an error."""
    loader = jinja2.FileSystemLoader(FOLDER)
    return ImmutableSandboxedEnvironment(loader=loader, undefined=jinja2.StrictUndefined, autoescape=False)

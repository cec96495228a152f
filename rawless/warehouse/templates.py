"""Render SQL templates and users' queries: Jinja inserts names only, values are passed as query parameters."""

from collections.abc import Mapping
from functools import cache

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rawless.warehouse.tables import FOLDER

_NAMES_AND_CONDITIONS = (
    nodes.Template, nodes.TemplateData, nodes.Output, nodes.Name, nodes.Const, nodes.If, nodes.CondExpr, nodes.Not,
    nodes.And, nodes.Or, nodes.Compare, nodes.Operand,
)  # fmt: skip


@cache
def environment() -> ImmutableSandboxedEnvironment:
    """Return a sandboxed Jinja environment, since users write templates too. An undefined name is an error."""
    loader = jinja2.FileSystemLoader(FOLDER)
    return ImmutableSandboxedEnvironment(loader=loader, undefined=jinja2.StrictUndefined, autoescape=False)


def render_query(text: str, values: Mapping[str, object]) -> str:
    """Return a user's query with names inserted. Raises a TemplateError for Jinja of any other kind.

    Loops, arithmetic and filters would let a query of one line take all memory, or any time.
    """
    kinds = {type(node) for node in environment().parse(text).find_all(nodes.Node)}
    if other := sorted(kind.__name__ for kind in kinds.difference(_NAMES_AND_CONDITIONS)):
        raise jinja2.TemplateError(f"{other[0]} is not allowed")
    return environment().from_string(text).render(values)

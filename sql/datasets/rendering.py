"""Rendering of templates and of users' queries: Jinja places table names, and nothing else."""

from functools import cache

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sql.tables import FOLDER, ROLES
from sql.warehouse import Warehouse


@cache
def environment() -> ImmutableSandboxedEnvironment:
    """A sandbox, since users write templates too, in which a name that is not there is an error."""
    loader = jinja2.FileSystemLoader(FOLDER)
    return ImmutableSandboxedEnvironment(loader=loader, undefined=jinja2.StrictUndefined, autoescape=False)


def template(warehouse: Warehouse, name: str, **places: object) -> str:
    """A template of `sql/datasets/templates`, with the datasets' names and `places` in it."""
    datasets = {role: warehouse.dataset_id(role) for role in ROLES}
    return environment().get_template(f"datasets/templates/{name}.sql").render({**datasets, **places}).strip()

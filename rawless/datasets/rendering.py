"""The rendering of the templates that build a snapshot."""

from rawless.datasets.dataset import TEMPLATES
from rawless.warehouse.client import Warehouse


def template(warehouse: Warehouse, name: str, **names: object) -> str:
    """A template of `sql/templates`, with the datasets' names and `names` in it."""
    return warehouse.render(TEMPLATES / f"{name}.sql", **names)

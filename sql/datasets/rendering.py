"""The rendering of the templates that build a snapshot."""

from sql.datasets.dataset import TEMPLATES
from sql.warehouse import Warehouse


def template(warehouse: Warehouse, name: str, **places: object) -> str:
    """A template of `sql/datasets/templates`, with the datasets' names and `places` in it."""
    return warehouse.render(TEMPLATES / f"{name}.sql", **places)

"""Render the SQL templates that build a snapshot."""

from rawless.warehouse.client import Warehouse
from rawless.warehouse.tables import FOLDER

TEMPLATES = FOLDER / "templates"


def render_template(warehouse: Warehouse, name: str, **names: object) -> str:
    """Return `sql/templates/<name>.sql` with the warehouse's datasets and `names` filled in."""
    return warehouse.render(TEMPLATES / f"{name}.sql", **names)

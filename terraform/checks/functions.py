"""Render the table functions for Terraform, which has no Jinja: `python -m terraform.checks.functions`."""

from collections.abc import Iterator
from pathlib import Path

from rawless.warehouse.tables import FOLDER, ROLES, functions
from rawless.warehouse.templates import environment

BODIES = Path("terraform/warehouse/functions")


def render_bodies() -> dict[str, str]:
    """Return the body of each table function by name, with Terraform's placeholders for the datasets."""
    placeholders = {role: f"${{{role}}}" for role in ROLES}
    bodies = {}
    for name, template in functions().items():
        statement = environment().get_template(template.relative_to(FOLDER).as_posix()).render(placeholders)
        body = statement[statement.index("AS (") + len("AS (") : statement.rindex(")")]
        bodies[name] = body.strip("\n") + "\n"
    return bodies


def violations(tree: Path) -> Iterator[str]:
    """The stored bodies that differ from the rendered ones."""
    rendered = render_bodies()
    stored = {
        path.name.removesuffix(".sql.tftpl"): path.read_text(encoding="utf-8") for path in (tree / BODIES).iterdir()
    }
    for name in sorted(rendered.keys() | stored.keys()):
        if rendered.get(name) != stored.get(name):
            yield f"{BODIES}/{name}.sql.tftpl differs from sql/: run `python -m terraform.checks.functions`"


if __name__ == "__main__":
    BODIES.mkdir(exist_ok=True)
    for name, body in render_bodies().items():
        (BODIES / f"{name}.sql.tftpl").write_text(body, encoding="utf-8")

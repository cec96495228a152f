"""The table functions' bodies for terraform, which has no Jinja: `python -m terraform.checks.functions` writes them."""

from collections.abc import Iterator
from pathlib import Path

from rawless.warehouse.tables import FOLDER, ROLES, functions
from rawless.warehouse.templates import environment

WHERE = Path("terraform/warehouse/functions")


def bodies() -> dict[str, str]:
    """Each function's body, with terraform's placeholders for the datasets."""
    places = {role: f"${{{role}}}" for role in ROLES}
    found = {}
    for name, template in functions().items():
        statement = environment().get_template(template.relative_to(FOLDER).as_posix()).render(places)
        body = statement[statement.index("AS (") + len("AS (") : statement.rindex(")")]
        found[name] = body.strip("\n") + "\n"
    return found


def faults(tree: Path) -> Iterator[str]:
    """What is not as our own renderer gives it."""
    wanted = bodies()
    there = {
        path.name.removesuffix(".sql.tftpl"): path.read_text(encoding="utf-8") for path in (tree / WHERE).iterdir()
    }
    for name in sorted(wanted.keys() | there.keys()):
        if wanted.get(name) != there.get(name):
            yield f"{WHERE}/{name}.sql.tftpl differs from sql/: run `python -m terraform.checks.functions`"


if __name__ == "__main__":
    WHERE.mkdir(exist_ok=True)
    for name, body in bodies().items():
        (WHERE / f"{name}.sql.tftpl").write_text(body, encoding="utf-8")

"""The wheel: three packages and their data, and nothing else, which work from an environment of their own."""

import sys
from pathlib import Path

from tests.deployment.programs import output

ROOT = Path(__file__).parents[2]


def test_it_gives_three_packages_and_nothing_else(environment: Path, installed: Path) -> None:
    names = {path.name for path in installed.iterdir() if not path.name.startswith(("_virtualenv", "__pycache__"))}

    assert {name for name in names if not name.endswith(".dist-info")} == {"rawless", "encoders", "pipelines"}
    assert [name.partition("-")[0] for name in names if name.endswith(".dist-info")] == ["rawless"]
    assert (environment / "bin" / "rawless").is_file()


def test_it_carries_every_data_file(installed: Path) -> None:
    data = [path for path in (ROOT / "sql").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    data += [path for path in (ROOT / "encoders").rglob("*") if path.suffix in (".yaml", ".jpg")]
    data += [path for path in (ROOT / "rawless" / "report").iterdir() if path.suffix in (".css", ".js", ".j2")]
    for folder in ("console/pages", "scaffold/templates", "serving/page"):
        data += (ROOT / "rawless" / folder).iterdir()
    expected = {path.relative_to(ROOT).as_posix() for path in data}
    expected |= {f"{package}/py.typed" for package in ("rawless", "encoders", "pipelines")}

    carried = {
        path.relative_to(installed).as_posix().removeprefix("rawless/")
        if "rawless/sql" in path.as_posix()
        else path.relative_to(installed).as_posix()
        for path in installed.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and ".dist-info" not in path.as_posix()
    }

    assert len(expected) > 80
    assert carried - {"_virtualenv.pth"} == expected


def test_commands_work_from_it(installed: Path, tmp_path: Path) -> None:
    """With the libraries of this environment, but none of this checkout's files."""
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1))\n"
        "import rawless.cli.main as main\n"
        "from rawless.warehouse.tables import names\n"
        "assert main.__file__.startswith(sys.path[0]), main.__file__\n"
        "assert len(names()) > 10\n"
        "sys.exit(main.run(sys.argv[1:]))\n"
    )
    listed = output(sys.executable, "-P", "-c", code, installed, "encoder", "show", "minilm@1.0.0", folder=tmp_path)

    assert "minilm" in listed

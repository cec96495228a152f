"""What an installation with some extras of the package has: libraries, and programs that find no others."""

import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
_HOOK = """
import sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        is_hidden = any(name == each or name.startswith(each + ".") for each in MISSING)
        return None if is_hidden else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""


def hide_libraries(folder: Path, extras: str) -> None:
    """Make a folder for PYTHONPATH that hides the libraries which an installation with these extras lacks."""
    lacking = requirements("all") - requirements(extras)
    hidden = sorted({module for library in lacking for module in _modules(library)})
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(f"MISSING = {hidden!r}\n{_HOOK}")


def requirements(extras: str) -> set[str]:
    """Return the names of all libraries that these extras install, separated by commas; of the base if it is empty."""
    found: set[str] = set()
    waiting = [*_declared()[""], *(each for extra in extras.split(",") if extra for each in _declared()[extra])]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name == "rawless":
            waiting += [each for extra in requirement.extras for each in _declared()[extra]]
        elif name not in found:
            found.add(name)
            waiting += _required_by(name, frozenset(requirement.extras))
    return found


def extras_of_users() -> set[str]:
    """Return the names of the extras that are not for developing Rawless itself."""
    return set(_declared()) - {"", "bench", "dev"}


@cache
def _declared() -> dict[str, list[Requirement]]:
    """Return the requirements of each extra, and of the base under an empty name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = {"": project["dependencies"], **project["optional-dependencies"]}
    return {extra: [Requirement(line) for line in lines] for extra, lines in lists.items()}


def _required_by(library: str, extras: frozenset[str]) -> list[Requirement]:
    try:
        lines = requires(library) or []
    except PackageNotFoundError:  # an optional library that is not installed here
        return []
    found = map(Requirement, lines)
    return [
        each
        for each in found
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras or {""})
    ]


def _modules(library: str) -> set[str]:
    """Return the modules that a library brings; of one below `google`, the folders that are its own."""
    if library.startswith(("cuda-", "nvidia-")):  # thousands of files, which torch loads and nobody imports
        return set()
    try:
        files = distribution(library).files or []
    except PackageNotFoundError:
        return set()
    packages = {PurePosixPath(file).parent for file in files if file.name == "__init__.py"}
    modules = {PurePosixPath(file).with_suffix("") for file in files if file.suffix == ".py" and len(file.parts) == 1}
    return {".".join(each.parts) for each in packages | modules if not any(above in packages for above in each.parents)}

"""Plan the Terraform files offline, with the stand-in provider."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from terraform.checks.schema import PROVIDERS

REPOSITORY = Path(__file__).parent.parent.parent
INPUTS = ("terraform", "sql", "examples")
"""The folders that a plan reads."""
_NO_INPUTS = (".terraform*", "*.tfstate", "*.tfstate.*", "__pycache__")
"""What these folders may contain after an apply. With a state, a plan would create only what is missing."""
ROOTS = ("", "bootstrap")
"""The folders of terraform/ that are applied."""
EXAMPLE_FILES = ("example.tfvars", "bootstrap/example.tfvars")
"""The files of variables of the example: the one that both roots read, and that of the bootstrap alone."""
_OPTIONS = ("-input=false", "-lock=false")
_PROVIDER = Path(__file__).parent / "provider.py"


class PlanError(Exception):
    """Terraform could not plan the files; contains its error messages."""


@dataclass(frozen=True)
class Resource:
    """A resource that the plan would create."""

    address: str
    type: str
    values: dict[str, Any]

    @property
    def root(self) -> str:
        """The name of the root that creates it, one of ROOTS."""
        return next((root for root in ROOTS if root and self.address.startswith(f"{root}.")), "")

    @property
    def block(self) -> str:
        """The address of the block in the files, which is the resource's address without indexes."""
        return "".join(part.partition("]")[2] if "]" in part else part for part in self.address.split("["))


@dataclass(frozen=True)
class Plan:
    """What Terraform would create, and the values of the variables with which it was planned."""

    resources: list[Resource]
    variables: dict[str, Any]


def make_plan(tree: Path = REPOSITORY, *variables: str, root: str = "") -> list[Resource]:
    """Return every resource that a root's files would create with the example and further `-var=…` arguments.

    The addresses of the root `bootstrap` start with its name. Raises PlanError when Terraform rejects the files.
    """
    with _copy(tree) as folder:
        return _planned(folder, root, EXAMPLE_FILES, *variables).resources


def plan_with(tree: Path, files: Sequence[str] = EXAMPLE_FILES) -> Plan:
    """Return the plans of all roots with files of variables, as EXAMPLE_FILES lists them, as one.

    Their paths are absolute or relative to terraform/. Raises PlanError when Terraform rejects the files.
    """
    with _copy(tree) as folder:
        plans = [_planned(folder, root, files) for root in ROOTS]
    resources = [resource for each in plans for resource in each.resources]
    return Plan(resources, {name: value for each in plans for name, value in each.variables.items()})


def changes_of_second_plan(tree: Path, files: Sequence[str] = EXAMPLE_FILES) -> dict[str, list[str]]:
    """Return what a second apply of each root would change although the first has applied the same files.

    The keys are addresses of resources, the values their attributes. Raises PlanError when Terraform rejects the files.
    """
    changes = []
    with _copy(tree) as folder:
        for root in ROOTS:
            _run(folder, root, "apply", *_OPTIONS, *_arguments(root, files), "-auto-approve")
            changes += _plan(folder, root, files)["resource_changes"]
    return {
        change["address"]: _changed_attributes(change["change"])
        for change in changes
        if change["change"]["actions"] not in (["no-op"], ["read"])
    }


def _changed_attributes(change: dict[str, Any]) -> list[str]:
    before, after = change["before"] or {}, change["after"] or {}
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def _arguments(root: str, files: Sequence[str]) -> list[str]:
    """The `-var-file=…` arguments of a root. The first file is for all roots."""
    own = files if root else files[:1]
    return [f"-var-file={file if Path(file).is_absolute() or not root else Path('..', file)}" for file in own]


def _planned(folder: Path, root: str, files: Sequence[str], *variables: str) -> Plan:
    shown = _plan(folder, root, files, *variables)
    found = _resources(shown["planned_values"]["root_module"])
    resources = [replace(each, address=f"{root}.{each.address}") if root else each for each in found]
    return Plan(resources, {name: variable["value"] for name, variable in shown["variables"].items()})


def _plan(folder: Path, root: str, files: Sequence[str], *variables: str) -> dict[str, Any]:
    plan = folder.parent / ".plan"
    _run(folder, root, "plan", *_OPTIONS, *_arguments(root, files), *variables, f"-out={plan}")
    shown: dict[str, Any] = json.loads(_run(folder, root, "show", "-json", str(plan)))
    return shown


def _resources(module: dict[str, Any]) -> Iterator[Resource]:
    for resource in module.get("resources", []):
        if resource["mode"] == "managed":
            yield Resource(resource["address"], resource["type"], resource["values"])
    for child in module.get("child_modules", []):
        yield from _resources(child)


@contextmanager
def _copy(tree: Path) -> Iterator[Path]:
    """A copy of the files without a state backend, in which the stand-in replaces the provider."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in INPUTS:
            shutil.copytree(tree / name, folder / name, ignore=shutil.ignore_patterns(*_NO_INPUTS))
        for other in tree.iterdir():  # a file of a stream may be in any of them
            if other.name not in INPUTS and not other.name.startswith("."):
                (folder / other.name).symlink_to(other.resolve())
        for root in ROOTS:
            (folder / "terraform" / root / "backend.tf").unlink(missing_ok=True)
        overrides = []
        for provider in PROVIDERS:
            plugin = folder / ".plugins" / provider / f"terraform-provider-{provider}"
            plugin.parent.mkdir(parents=True)
            plugin.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{_PROVIDER}' {provider}\n", encoding="utf-8")
            plugin.chmod(0o755)
            overrides.append(f'"hashicorp/{provider}" = "{plugin.parent}"')
        configuration = "provider_installation {\n dev_overrides {\n" + "\n".join(overrides) + "\n }\n}\n"
        (folder / ".terraformrc").write_text(configuration, encoding="utf-8")
        for root in ROOTS:
            _run(folder / "terraform", root, "get")
        yield folder / "terraform"


def _run(folder: Path, root: str, *command: str) -> str:
    variables = {
        "TF_CLI_CONFIG_FILE": str(folder.parent / ".terraformrc"),
        "CHECKPOINT_DISABLE": "1",
        "TF_IN_AUTOMATION": "1",
    }
    options: Sequence[str] = () if command[0] == "show" else ("-no-color",)
    line = ["terraform", *command, *options]
    done = subprocess.run(line, cwd=folder / root, env={**os.environ, **variables}, capture_output=True, text=True)
    if done.returncode:
        raise PlanError(done.stderr.strip())
    return done.stdout

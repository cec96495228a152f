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
ROOTS = {"": ("example.tfvars",), "bootstrap": ("../example.tfvars", "example.tfvars")}
"""The folders of terraform/ that are applied, each with its files of variables."""
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


def make_plans(tree: Path = REPOSITORY) -> list[Resource]:
    """Return every resource that each of a tree's roots would create. Raises PlanError as `make_plan` does."""
    return [resource for root in ROOTS for resource in make_plan(tree, root=root)]


def make_plan(tree: Path = REPOSITORY, *variables: str, root: str = "") -> list[Resource]:
    """Return every resource that a root's files would create with its example and further `-var=…` arguments.

    The addresses of the root `bootstrap` start with its name. Raises PlanError when Terraform rejects the files.
    """
    with _copy(tree) as folder:
        values = _plan(folder, root, ROOTS[root], *variables)["planned_values"]
    found = _resources(values["root_module"])
    return [replace(resource, address=f"{root}.{resource.address}") if root else resource for resource in found]


def changes_of_second_plan(tree: Path, *files: str, root: str = "") -> dict[str, list[str]]:
    """Return what a second apply of a root would change although the first has applied the same files and variables.

    The paths of the files of variables are absolute or relative to the root. The keys are addresses of resources, the
    values their attributes. Raises PlanError when Terraform rejects the files.
    """
    with _copy(tree) as folder:
        _run(folder, root, "apply", *_OPTIONS, *(f"-var-file={file}" for file in files), "-auto-approve")
        changes = _plan(folder, root, files)["resource_changes"]
    return {
        change["address"]: _changed_attributes(change["change"])
        for change in changes
        if change["change"]["actions"] not in (["no-op"], ["read"])
    }


def _changed_attributes(change: dict[str, Any]) -> list[str]:
    before, after = change["before"] or {}, change["after"] or {}
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def _plan(folder: Path, root: str, files: Sequence[str], *variables: str) -> dict[str, Any]:
    plan = folder.parent / "plan"
    _run(folder, root, "plan", *_OPTIONS, *(f"-var-file={file}" for file in files), *variables, f"-out={plan}")
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
            shutil.copytree(tree / name, folder / name, ignore=shutil.ignore_patterns(".terraform*", "__pycache__"))
        for root in ROOTS:
            (folder / "terraform" / root / "backend.tf").unlink()
        overrides = []
        for provider in PROVIDERS:
            plugin = folder / "plugins" / provider / f"terraform-provider-{provider}"
            plugin.parent.mkdir(parents=True)
            plugin.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{_PROVIDER}' {provider}\n", encoding="utf-8")
            plugin.chmod(0o755)
            overrides.append(f'"hashicorp/{provider}" = "{plugin.parent}"')
        configuration = "provider_installation {\n dev_overrides {\n" + "\n".join(overrides) + "\n }\n}\n"
        (folder / "terraformrc").write_text(configuration, encoding="utf-8")
        for root in ROOTS:
            _run(folder / "terraform", root, "get")
        yield folder / "terraform"


def _run(folder: Path, root: str, *command: str) -> str:
    variables = {
        "TF_CLI_CONFIG_FILE": str(folder.parent / "terraformrc"),
        "CHECKPOINT_DISABLE": "1",
        "TF_IN_AUTOMATION": "1",
    }
    options: Sequence[str] = () if command[0] == "show" else ("-no-color",)
    line = ["terraform", *command, *options]
    done = subprocess.run(line, cwd=folder / root, env={**os.environ, **variables}, capture_output=True, text=True)
    if done.returncode:
        raise PlanError(done.stderr.strip())
    return done.stdout

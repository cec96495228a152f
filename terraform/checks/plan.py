"""A plan of the real files, made offline by the stand-in provider: what would be made, with every attribute."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terraform.checks.schema import PROVIDERS

REPOSITORY = Path(__file__).parent.parent.parent
READ = ("terraform", "sql", "examples")
"""The folders that a plan is made of."""
_PROVIDER = Path(__file__).parent / "provider.py"


class Refused(Exception):
    """Terraform refused the files; holds its words."""


@dataclass(frozen=True)
class Resource:
    """One that the plan would make."""

    address: str
    type: str
    values: dict[str, Any]

    @property
    def place(self) -> str:
        """The address without indexes: that of the block in the files."""
        return "".join(part.partition("]")[2] if "]" in part else part for part in self.address.split("["))


def planned(tree: Path = REPOSITORY, *variables: str) -> list[Resource]:
    """All that a tree's files would make, for the values of example.tfvars and `-var=…`. Raises Refused."""
    with _copied(tree) as folder:
        _run(folder, "get")
        plan = folder.parent / "plan"
        _run(folder, "plan", "-input=false", "-lock=false", "-var-file=example.tfvars", *variables, f"-out={plan}")
        shown = json.loads(_run(folder, "show", "-json", str(plan)))
    return list(_resources(shown["planned_values"]["root_module"]))


def _resources(module: dict[str, Any]) -> Iterator[Resource]:
    for each in module.get("resources", []):
        if each["mode"] == "managed":
            yield Resource(each["address"], each["type"], each["values"])
    for inner in module.get("child_modules", []):
        yield from _resources(inner)


@contextmanager
def _copied(tree: Path) -> Iterator[Path]:
    """A copy of the files that keeps no state and finds the stand-in instead of the provider."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for each in READ:
            shutil.copytree(tree / each, folder / each, ignore=shutil.ignore_patterns(".terraform*", "__pycache__"))
        (folder / "terraform" / "backend.tf").unlink()
        overrides = []
        for provider in PROVIDERS:
            plugin = folder / "plugins" / provider / f"terraform-provider-{provider}"
            plugin.parent.mkdir(parents=True)
            plugin.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{_PROVIDER}' {provider}\n", encoding="utf-8")
            plugin.chmod(0o755)
            overrides.append(f'"hashicorp/{provider}" = "{plugin.parent}"')
        configuration = "provider_installation {\n dev_overrides {\n" + "\n".join(overrides) + "\n }\n}\n"
        (folder / "terraformrc").write_text(configuration, encoding="utf-8")
        yield folder / "terraform"


def _run(folder: Path, *command: str) -> str:
    own = {"TF_CLI_CONFIG_FILE": str(folder.parent / "terraformrc"), "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    options: Sequence[str] = () if command[0] == "show" else ("-no-color",)
    line = ["terraform", *command, *options]
    done = subprocess.run(line, cwd=folder, env={**os.environ, **own}, capture_output=True, text=True)
    if done.returncode:
        raise Refused(done.stderr.strip())
    return done.stdout

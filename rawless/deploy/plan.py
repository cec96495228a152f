"""What Terraform would create with a file of variables, planned without a cloud by the checks of a checkout."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rawless.doctor.finding import Finding
from rawless.errors import RawlessError, UserError

_CHECKS = "terraform.checks"
_VERSION = "1.9"
_EXAMPLE = "terraform/example.tfvars"
_BOOTSTRAP = "terraform/bootstrap/example.tfvars"


@dataclass(frozen=True)
class Planned:
    """What the checks of a plan found, and the files that Terraform would write to buckets, by their names."""

    findings: tuple[Finding, ...]
    objects: Mapping[str, str]


def read_plan(folder: Path, variables: Path, bootstrap: Path) -> Planned:
    """Return the plan of a folder of Terraform files with a file of variables, and of its bootstrap with one more.

    The checks are those of the checkout that the folder belongs to, because they are part of its files and not of the
    installed package. Raises UserError if there is none, if there is no such file, or if Terraform is not installed.
    """
    for option, file, example in (("--vars", variables, _EXAMPLE), ("--bootstrap-vars", bootstrap, _BOOTSTRAP)):
        if not file.is_file():
            raise UserError(f"{option} is {file}, which is no file: copy {example} and replace its values.")
    if not (folder / "checks" / "suite.py").is_file():
        raise UserError(
            f"--terraform is {folder}, which is not the folder terraform of a checkout of Rawless: clone the "
            "repository, whose checks are beside the files that you apply, or name that folder."
        )
    if shutil.which("terraform") is None:
        raise UserError(f"Terraform is not installed: install version {_VERSION} or newer, and put it on the PATH.")
    return _parse(_run(folder.absolute().parent, variables.absolute(), bootstrap.absolute()))


def _run(checkout: Path, *variables: Path) -> str:
    """Return what the checks of a checkout print; they run with the modules of that checkout."""
    path = os.pathsep.join([str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", _CHECKS, *map(str, variables)],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RawlessError(
            f"The checks of {checkout / 'terraform'} failed ({last}): install the version of Rawless that the checkout "
            "has, with the extra packages of `make setup`."
        )
    return done.stdout


def _parse(printed: str) -> Planned:
    report = json.loads(printed)
    findings = [finding for each in report["checks"] for finding in _findings(**each)]
    return Planned(tuple(findings), report["objects"])


def _findings(check: str, holds: str, violations: list[str]) -> list[Finding]:
    return [Finding(check, False, each) for each in violations] or [Finding(check, True, holds)]

"""Check the job's Beam options: none may expose raw content, and those that protect it must be set."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from rawless.doctor.finding import Finding
from rawless.doctor.requirements import DRIVER, JobRequirements
from rawless.errors import UserError

SMALLEST_DISK = 50
"""GB that hold the operating system, logs, and the image three times, as a worker unpacks it (docs/dataflow.md)."""
_NAME = re.compile(r"(?:option|experiment) (?:--)?(\w+)")


def forbidden_option(error: UserError, file: Path, arguments: Sequence[str]) -> Finding:
    """Return the finding for an option that `ingest` refuses, with the command that checks the others."""
    match = _NAME.search(str(error))
    rest = list(_without(match[1] if match else "", arguments))
    return Finding("option", False, str(error), _doctor_command(file, rest))


def _without(forbidden: str, arguments: Sequence[str]) -> Iterator[str]:
    """Yield all arguments but the forbidden option and any that may contain a key, which must not be printed."""
    dropped = False
    for argument in arguments:
        name = argument.split("=")[0]
        if name.startswith("--"):
            secret = ("key" in name or "pseudonym" in name) and name != "--dataflow_kms_key"
            dropped = secret or bool(forbidden and forbidden in argument)
        if not dropped:
            yield argument


def check(job: JobRequirements) -> Iterator[Finding]:
    """Check each option that a job on Google Cloud must have; the command checks again with the option added."""
    required = {
        "--no_use_public_ips": (job.private, "workers would have public addresses"),
        "--region=REGION": (job.region is not None, "the job has no region"),
        "--service_account_email=EMAIL": (
            job.account is not None,
            "workers would use Compute Engine's default account, which has too many permissions",
        ),
        "--sdk_container_image=IMAGE@sha256:DIGEST": (
            bool(job.image and "@sha256:" in job.image),
            "workers would run an image that is not pinned by digest",
        ),
        "--disk_size_gb=100": (
            (job.disk or 0) >= SMALLEST_DISK,
            f"a worker that unpacks the image needs {SMALLEST_DISK} GB at least, and Dataflow's default is less",
        ),
        "--dataflow_kms_key=KEY": (job.kms_key is not None, "the job's state would not be encrypted with your own key"),
    }
    for option, (is_set, consequence) in required.items():
        name = option.split("=")[0]
        detail = f"{name} is set" if is_set else f"The option {name} is missing or insufficient: {consequence}."
        rest = [argument for argument in job.arguments if argument.split("=")[0] != name]
        yield Finding("option", is_set, detail, "" if is_set else _doctor_command(job.file, [*rest, option]))
    if job.gpu:
        yield _driver(job)


def _driver(job: JobRequirements) -> Finding:
    if job.driver == DRIVER:
        return Finding("option", True, "the accelerator is requested with a driver that torch can use")
    count = f"count:{job.gpus_per_worker}"
    fixed = [argument.replace(count + job.driver, count + DRIVER) for argument in job.arguments]
    consequence = "workers may get a driver that is too old for torch" if job.driver else "workers would see no GPU"
    detail = f"The accelerator is requested without {DRIVER[1:]}: {consequence}."
    return Finding("option", False, detail, _doctor_command(job.file, fixed))


def _doctor_command(file: Path, arguments: Sequence[str]) -> str:
    return f"rawless doctor --warehouse {shlex.quote(str(file))} -- {shlex.join(arguments)}"

"""The options of the job: none that could carry raw content out, and all that keep it inside."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from rawless.doctor.finding import Finding
from rawless.doctor.requirements import Wanted
from rawless.errors import UserError

_NAME = re.compile(r"(?:option|experiment) (?:--)?(\w+)")


def refused(error: UserError, file: Path, arguments: Sequence[str]) -> Finding:
    """What ingest would refuse: the command looks again without it."""
    found = _NAME.search(str(error))
    return Finding("option", False, str(error), _again(file, list(_kept(arguments, found[1] if found else ""))))


def _kept(arguments: Sequence[str], refused: str) -> Iterator[str]:
    """All but what was refused and what might hold a key: a command that is printed must not quote one."""
    dropped = False
    for each in arguments:
        name = each.split("=")[0]
        if name.startswith("--"):
            secret = ("key" in name or "pseudonym" in name) and name != "--dataflow_kms_key"
            dropped = secret or bool(refused and refused in each)
        if not dropped:
            yield each


def check(job: Wanted) -> Iterator[Finding]:
    """Each option that a job on Google Cloud must have; the command looks again with it."""
    needed = {
        "--no_use_public_ips": (job.private, "workers would have public addresses"),
        "--region=REGION": (job.region is not None, "nothing says where the job runs"),
        "--service_account_email=EMAIL": (
            job.account is not None,
            "workers would run by Compute Engine's account, which may do too much",
        ),
        "--sdk_container_image=IMAGE@sha256:DIGEST": (
            bool(job.image and "@sha256:" in job.image),
            "workers would run an image that nothing pins",
        ),
        "--dataflow_kms_key=KEY": (job.kms_key is not None, "the job's state would lie under a key that is not yours"),
    }
    for option, (there, why) in needed.items():
        name = option.split("=")[0]
        detail = f"{name} is given" if there else f"The option {name} is missing or not enough: {why}."
        kept = [each for each in job.arguments if each.split("=")[0] != name]
        yield Finding("option", there, detail, "" if there else _again(job.file, [*kept, option]))
    if job.gpu and not job.driver:
        count = f"count:{job.gpus_each}"
        whole = [each.replace(count, f"{count};install-nvidia-driver") for each in job.arguments]
        detail = "The accelerator comes without its driver: workers would see no GPU."
        yield Finding("option", False, detail, _again(job.file, whole))


def _again(file: Path, arguments: Sequence[str]) -> str:
    return f"rawless doctor --warehouse {shlex.quote(str(file))} -- {shlex.join(arguments)}"

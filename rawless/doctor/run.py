"""Running the preflight: every check, also where others could not look."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rawless.doctor import google as apis
from rawless.doctor import job_options, keys, quotas, roles, services, tables
from rawless.doctor.finding import ME, Finding
from rawless.doctor.google import Denied, Google
from rawless.doctor.requirements import Wanted, wanted
from rawless.errors import UserError
from rawless.warehouse.config import load_warehouse_config

_Check = Callable[[Google, Wanted], Iterator[Finding]]
_CHECKS: dict[str, tuple[_Check, str]] = {
    "api": (services.check, "roles/serviceusage.serviceUsageViewer"),
    "role": (roles.check, "roles/iam.securityReviewer"),
    "key": (keys.check, "roles/viewer"),
    "quota": (quotas.check, "roles/compute.viewer"),
    "table": (tables.check, "roles/bigquery.metadataViewer"),
}
"""Each check, and the role that lets an account look."""


def findings(file: Path, arguments: Sequence[str] = (), source: str | None = None) -> list[Finding]:
    """What the warehouse of a file needs, and the job of these options of Beam where some are given.

    Raises UserError for a bad warehouse file and without credentials, Unavailable where an API does not answer.
    """
    config = load_warehouse_config(file)
    found: list[Finding] = []
    try:
        job = wanted(config, file, arguments, source)
        found += job_options.check(job) if arguments else ()
    except UserError as error:  # go on with the warehouse
        found.append(job_options.refused(error, file, arguments))
        job = wanted(config, file, (), source)
    google = Google(apis.ENDPOINT)
    for name, (check, role) in _CHECKS.items():
        found += _looked(name, check, role, google, job)
    return found


def _looked(name: str, check: _Check, role: str, google: Google, job: Wanted) -> Iterator[Finding]:
    try:
        yield from check(google, job)
    except Denied:
        command = f"gcloud projects add-iam-policy-binding {job.project} --member={ME} --role={role}"
        yield Finding(name, False, f"This account may not look at every {name}: {role} lets it.", command)

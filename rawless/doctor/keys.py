"""The keys: the pseudonym key in Secret Manager, and the key that the job's state lies under."""

from collections.abc import Iterator

from rawless.doctor.finding import Finding
from rawless.doctor.google import Google
from rawless.doctor.requirements import Wanted

_MADE = 'python3 -c "import base64, os; print(base64.b64encode(os.urandom(32)).decode())"'


def check(google: Google, job: Wanted) -> Iterator[Finding]:
    """Each key, whether it is there, on and turned. None is read."""
    yield _pseudonym(google, job)
    if job.kms_key:
        yield from _kms(google, job.kms_key)


def _pseudonym(google: Google, job: Wanted) -> Finding:
    version = job.config.pseudonym_secret
    if version is None:
        command = f"{_MADE} | gcloud secrets create rawless-pseudonym-key --project={job.project} --data-file=-"
        return Finding("key", False, "The warehouse file names no pseudonym_secret: make one and name it.", command)
    _, project, _, name, _, number = version.split("/")
    if google.get("secretmanager", f"v1/projects/{project}/secrets/{name}") is None:
        command = f"{_MADE} | gcloud secrets create {name} --project={project} --data-file=-"
        return Finding("key", False, f"The secret {name} does not exist in {project}.", command)
    found = google.get("secretmanager", f"v1/{version}")
    if found is None:
        command = f"{_MADE} | gcloud secrets versions add {name} --project={project} --data-file=-"
        return Finding("key", False, f"The secret {name} has no version {number}.", command)
    if found.get("state") != "ENABLED":
        command = f"gcloud secrets versions enable {number} --secret={name} --project={project}"
        return Finding("key", False, f"The version {number} of the secret {name} is {found.get('state')}.", command)
    return Finding("key", True, f"the pseudonym key is {version}")


def _kms(google: Google, key: str) -> Iterator[Finding]:
    """Encryption keys of Cloud KMS, as projects/P/locations/L/keyRings/R/cryptoKeys/K."""
    _, project, _, location, _, ring, _, name = key.split("/")
    where = f"{name} --keyring={ring} --location={location} --project={project}"
    found = google.get("cloudkms", f"v1/{key}")
    turned = "--rotation-period=90d --next-rotation-time=$(date -ud +90days +%FT%TZ)"
    if found is None:
        command = f"gcloud kms keys create {where} --purpose=encryption {turned}"
        yield Finding("key", False, f"The key {key} does not exist.", command)
        return
    primary = found.get("primary", {})
    if primary.get("state") != "ENABLED":
        number = str(primary.get("name", "1")).rsplit("/", 1)[-1]
        command = f"gcloud kms keys versions enable {number} --key={where}"
        yield Finding("key", False, f"The key {key} is {primary.get('state', 'without a version')}.", command)
    if "rotationPeriod" not in found:
        yield Finding("key", False, f"The key {key} is never rotated.", f"gcloud kms keys update {where} {turned}")
    if primary.get("state") == "ENABLED" and "rotationPeriod" in found:
        yield Finding("key", True, f"{key} is on and rotated")

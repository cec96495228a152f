"""Check the keys: the pseudonym key in Secret Manager, and the key that encrypts the job's state."""

from collections.abc import Iterator

from rawless.doctor.finding import Finding
from rawless.doctor.google import Google
from rawless.doctor.requirements import JobRequirements

_NEW_KEY = 'python3 -c "import base64, os; print(base64.b64encode(os.urandom(32)).decode())"'


def check(google: Google, job: JobRequirements) -> Iterator[Finding]:
    """Check that each key exists, is enabled and is rotated. No key is read."""
    yield _pseudonym(google, job)
    if job.kms_key:
        yield from _kms(google, job.kms_key)


def _pseudonym(google: Google, job: JobRequirements) -> Finding:
    version = job.config.pseudonym_secret
    if version is None:
        command = f"{_NEW_KEY} | gcloud secrets create rawless-pseudonym-key --project={job.project} --data-file=-"
        return Finding(
            "key", False, "The warehouse file has no pseudonym_secret: create the secret and add its name.", command
        )
    _, project, _, name, _, number = version.split("/")
    if google.get("secretmanager", f"v1/projects/{project}/secrets/{name}") is None:
        command = f"{_NEW_KEY} | gcloud secrets create {name} --project={project} --data-file=-"
        return Finding("key", False, f"The secret {name} does not exist in {project}.", command)
    secret = google.get("secretmanager", f"v1/{version}")
    if secret is None:
        command = f"{_NEW_KEY} | gcloud secrets versions add {name} --project={project} --data-file=-"
        return Finding("key", False, f"The secret {name} has no version {number}.", command)
    if secret.get("state") != "ENABLED":
        command = f"gcloud secrets versions enable {number} --secret={name} --project={project}"
        return Finding("key", False, f"Version {number} of the secret {name} is {secret.get('state')}.", command)
    return Finding("key", True, f"the pseudonym key is {version}")


def _kms(google: Google, key: str) -> Iterator[Finding]:
    """Check a key of Cloud KMS, named projects/P/locations/L/keyRings/R/cryptoKeys/K."""
    _, project, _, location, _, ring, _, name = key.split("/")
    where = f"{name} --keyring={ring} --location={location} --project={project}"
    crypto_key = google.get("cloudkms", f"v1/{key}")
    rotation = "--rotation-period=90d --next-rotation-time=$(date -ud +90days +%FT%TZ)"
    if crypto_key is None:
        command = f"gcloud kms keys create {where} --purpose=encryption --protection-level=hsm {rotation}"
        yield Finding("key", False, f"The key {key} does not exist.", command)
        return
    primary = crypto_key.get("primary", {})
    if primary.get("state") != "ENABLED":
        number = str(primary.get("name", "1")).rsplit("/", 1)[-1]
        command = f"gcloud kms keys versions enable {number} --key={where}"
        yield Finding("key", False, f"The key {key} is {primary.get('state', 'without a version')}.", command)
    if "rotationPeriod" not in crypto_key:
        yield Finding("key", False, f"The key {key} is never rotated.", f"gcloud kms keys update {where} {rotation}")
    if primary.get("state") == "ENABLED" and "rotationPeriod" in crypto_key:
        yield Finding("key", True, f"{key} is enabled and rotated")

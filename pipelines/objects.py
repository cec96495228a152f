"""Read the objects that events name: local files with `rawless.events.objects`, Cloud Storage with Beam's client."""

import os
from collections.abc import Iterator
from functools import lru_cache

from apache_beam.io.filesystems import FileSystems
from apache_beam.io.gcp.gcsio import GcsIO
from google.api_core.exceptions import BadRequest, Forbidden, GoogleAPIError, NotFound, PreconditionFailed
from google.auth.exceptions import GoogleAuthError
from google.cloud.storage.exceptions import DataCorruption

from rawless.errors import Unavailable, UserError
from rawless.events.objects import ObjectLocation, UnreadableObject, read_file, reject_unreadable
from rawless.loopback import check_storage_address
from rawless.privacy import Reason, Rejected

# Otherwise the client requests the bucket in a thread of its own, whose log lines no guard withholds.
os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")


def read_object(location: ObjectLocation, limit: int) -> bytes:
    """See `rawless.events.objects.ReadObject`. Beam's client retries an unavailable store for two minutes."""
    if location.scheme == "file":
        return read_file(location, limit)
    return reject_unreadable(lambda: _download(location, limit), _others(location), _download)


def _download(location: ObjectLocation, limit: int) -> bytes:
    try:
        # Not by FileSystems.open, which inflates objects named .gz: a small one could become a huge one.
        with _client().open(location.uri, "rb") as file:
            content: bytes = file.read(limit + 1)
            return content
    except (NotFound, BadRequest, NotImplementedError):  # also an impossible name, and a file compressed twice
        raise Rejected(Reason.OBJECT_NOT_FOUND) from None
    except (GoogleAPIError, GoogleAuthError, DataCorruption, OSError) as error:
        of_object = isinstance(error, Forbidden | PreconditionFailed | DataCorruption)
        kind = type(error).__name__
    failure = UnreadableObject if of_object else Unavailable
    raise failure(f"An object below gs://{location.root} cannot be read ({kind}); run again when it can.")


def _others(location: ObjectLocation) -> Iterator[ObjectLocation]:
    """Yield the other objects of an object's folder, as far as they can be listed."""
    folder = f"gs://{location.root}{''.join(f'{part}/' for part in location.parts[:-1])}"
    try:
        for uri, _ in _client().list_files(folder):
            if uri != location.uri:
                yield ObjectLocation("gs", location.root, tuple(uri.removeprefix(f"gs://{location.root}").split("/")))
    except (GoogleAPIError, GoogleAuthError, OSError):
        return


@lru_cache(maxsize=1)
def _client() -> GcsIO:
    """Return the client of this process, with the options of the job. Raises Unavailable for an emulator elsewhere."""
    try:
        check_storage_address()
    except UserError as error:  # must stop the job, where any other exception would reject the event
        refused = str(error)
    else:
        return GcsIO(pipeline_options=FileSystems._pipeline_options)
    raise Unavailable(refused)

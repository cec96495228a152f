"""Read the objects that events name: local files with `rawless.events.objects`, Cloud Storage with Beam's client."""

import os
from functools import lru_cache

from apache_beam.io.filesystems import FileSystems
from apache_beam.io.gcp.gcsio import GcsIO
from google.api_core.exceptions import BadRequest, GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError

from rawless.errors import Unavailable
from rawless.events.objects import ObjectLocation, read_file
from rawless.privacy import Reason, Rejected

# Otherwise the client requests the bucket in a thread of its own, whose log lines no guard withholds.
os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")


def read_object(location: ObjectLocation, limit: int) -> bytes:
    """See `rawless.events.objects.ReadObject`. Beam's client retries an unavailable store for two minutes."""
    if location.scheme == "file":
        return read_file(location, limit)
    try:
        # Not by FileSystems.open, which inflates objects named .gz: a small one could become a huge one.
        with _client().open(location.uri, "rb") as file:
            content: bytes = file.read(limit + 1)
            return content
    except (NotFound, BadRequest, NotImplementedError):  # also an impossible name, and a file compressed twice
        raise Rejected(Reason.OBJECT_NOT_FOUND) from None
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        kind = type(error).__name__
    raise Unavailable(f"An object below gs://{location.root} cannot be read ({kind}); run again when it can.")


@lru_cache(maxsize=1)
def _client() -> GcsIO:
    """Return the client of this process, with the options of the job."""
    return GcsIO(pipeline_options=FileSystems._pipeline_options)

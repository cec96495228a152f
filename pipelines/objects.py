"""Reading the objects that events name: local ones as the events do it, others through Beam's file systems."""

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from google.api_core.exceptions import BadRequest, GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError

from events.objects import Place, read_file
from privacy import Reason, Rejected, Unavailable


def read_object(place: Place, limit: int) -> bytes:
    """See `events.objects.ReadObject`. Beam's own client retries a store that is away, for two minutes."""
    if place.scheme == "file":
        return read_file(place, limit)
    try:
        # By default Beam inflates what is named .gz: a small object could become a huge one.
        with FileSystems.open(place.uri, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            content: bytes = file.read(limit + 1)
            return content
    except NotFound:
        raise Rejected(Reason.PAYLOAD_MISSING) from None
    except (BadRequest, NotImplementedError):  # a name that no object can have; a file that is compressed twice
        raise Rejected(Reason.PAYLOAD_MISSING) from None
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        kind = type(error).__name__
    raise Unavailable(f"An object below gs://{place.root} cannot be read ({kind}); run again when it can.")

"""Read the objects that events name, wherever they are: local files, and objects in Cloud Storage."""

import glob
from collections.abc import Iterator
from contextlib import suppress

from rawless.errors import Unavailable, UserError
from rawless.events.cloud_objects import ObjectNotFound, ObjectPattern, download, list_objects
from rawless.events.objects import ObjectLocation, read_file, reject_unreadable
from rawless.privacy import Reason, Rejected


def read_object(location: ObjectLocation, limit: int) -> bytes:
    """See `rawless.events.objects.ReadObject`. An object in Cloud Storage is one request, and is never inflated."""
    if location.scheme == "file":
        return read_file(location, limit)
    return reject_unreadable(lambda: _download(location, limit), _others(location), _download)


def _download(location: ObjectLocation, limit: int) -> bytes:
    bucket, name = _place(location)
    try:
        return download(bucket, name, f"gs://{location.root}", end=limit + 1)
    except ObjectNotFound:
        raise Rejected(Reason.OBJECT_NOT_FOUND) from None


def _others(location: ObjectLocation) -> Iterator[ObjectLocation]:
    """Yield the other objects of an object's folder, as far as they can be listed."""
    bucket, name = _place(location)
    folder = name[: len(name) - len(location.parts[-1])]
    with suppress(UserError, Unavailable):
        for found in list_objects(ObjectPattern(bucket, f"{glob.escape(folder)}*"), f"gs://{location.root}"):
            if found.name != name:
                yield ObjectLocation("gs", f"{bucket}/{folder}", (found.name.removeprefix(folder),))


def _place(location: ObjectLocation) -> tuple[str, str]:
    bucket, _, folder = location.root.partition("/")
    return bucket, folder + "/".join(location.parts)

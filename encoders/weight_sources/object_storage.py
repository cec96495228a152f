"""Weights in Google Cloud Storage, cached by digest."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from encoders.digests import check
from encoders.spec import EncoderSpec
from encoders.weight_sources import WeightSource, make_cache
from rawless.errors import Unavailable, UserError
from rawless.files import atomic_write
from rawless.loopback import check_storage_address

RETRY_SECONDS = 60.0
"""How long requests to unavailable object storage are retried."""


class ObjectStorage(WeightSource):
    """`gs://BUCKET/PREFIX`, a prefix in Google Cloud Storage. Every file needs its digest in the spec."""

    def folder(self, spec: EncoderSpec) -> str:
        """See `WeightSource.folder`."""
        return spec.weights.location.strip("/")

    def caches(self, spec: EncoderSpec) -> Iterator[Path]:
        """See `WeightSource.caches`: the cache of downloaded objects."""
        yield _object_cache(spec)

    def fetch(self, spec: EncoderSpec) -> Path:
        """See `WeightSource.fetch`."""
        from google.api_core.exceptions import GoogleAPIError, NotFound
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.storage import Client
        from google.cloud.storage.exceptions import DataCorruption

        check_storage_address()
        source, folder = spec.weights.source, _object_cache(spec)
        bucket, _, prefix = source.removeprefix("gs://").partition("/")
        make_cache(folder)
        try:
            client = Client()
            for name in spec.files:
                path = "/".join(part for part in (prefix.strip("/"), name) if part)
                make_cache((folder / name).parent)
                _download(spec, client.bucket(bucket).blob(path), folder, name)
        except NotFound:
            raise UserError(f"{source} does not have the files of {spec.ref}: check the source.") from None
        except (GoogleAPIError, GoogleAuthError, DataCorruption, OSError) as error:
            raise Unavailable(
                f"The weights could not be downloaded from {source} ({type(error).__name__}): check that this account "
                "may read it, and retry."
            ) from None
        return folder


def _object_cache(spec: EncoderSpec) -> Path:
    """Return the cache folder of a spec's objects, which is named by their digests, so that versions never mix."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "rawless" / "-".join(digest or "" for digest in spec.files.values())


def _download(spec: EncoderSpec, blob: Any, folder: Path, name: str) -> None:
    """Download an object atomically, and only if it has the digest of the spec."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    with atomic_write(folder / name, keep_existing=True) as file:  # another process may be faster, with the same file
        blob.download_to_file(file, retry=DEFAULT_RETRY.with_timeout(RETRY_SECONDS))
        file.flush()
        check(spec, name, Path(file.name), where=f"{name} below {spec.weights.source}")

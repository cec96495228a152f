"""Fetching weights that are not here yet: from a hub when that is allowed, from object storage by digest."""

import os
from http.client import HTTPException
from pathlib import Path
from typing import Any

from encoders.digests import check
from encoders.spec import EncoderSpec
from rawless.errors import Unavailable, UserError
from rawless.files import atomic_write

HUB_VARIABLE = "RAWLESS_HUB"
RETRY_SECONDS = 60.0
"""For how long object storage that is away is asked again."""


def fetch(spec: EncoderSpec) -> Path | None:
    """The folder that the spec's files were fetched to, None when its source is no place to fetch from.

    A hub is asked only where RAWLESS_HUB is 1. Raises Unavailable when the other side gives nothing, UserError when
    it cannot have what the spec names.
    """
    kind, _, name = spec.weights.source.partition(":")
    if kind == "gs":
        return _from_object_storage(spec)
    if os.environ.get(HUB_VARIABLE) != "1":
        return None
    if kind == "hf":
        return _from_hugging_face(spec, name)
    if kind == "torchvision":
        return _from_torchvision(spec, name)
    return None


def torch_cache() -> Path:
    """Where torch keeps the checkpoints that it fetched."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def object_cache(spec: EncoderSpec) -> Path:
    """Where the spec's fetched objects are kept: a folder named by their digest, so that none is taken for another."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "rawless" / "-".join(digest or "" for digest in spec.files.values())


def _from_hugging_face(spec: EncoderSpec, name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return Path(snapshot_download(name, allow_patterns=list(spec.files)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise Unavailable(f"The hub gave no {name} ({type(error).__name__}); try again, or bring the files.") from None


def _from_torchvision(spec: EncoderSpec, name: str) -> Path:
    import torch
    from torchvision.models import get_weight

    try:
        url = get_weight(name).url
    except (ValueError, AttributeError, KeyError):
        raise UserError(
            f"{spec.ref} names the weights {name}, which torchvision does not have: mend the spec."
        ) from None
    file, folder = url.rsplit("/", 1)[1], torch_cache()
    if set(spec.files) != {file}:
        raise UserError(f"{spec.ref} names the file {', '.join(spec.files)}, but {name} is {file}: mend the spec.")
    _make(folder)
    prefix = Path(file).stem.rsplit("-", 1)[-1]  # torchvision names its files by the start of their sha256
    try:
        torch.hub.download_url_to_file(url, str(folder / file), hash_prefix=prefix, progress=False)
    except (OSError, HTTPException, RuntimeError) as error:  # a RuntimeError is another digest
        raise Unavailable(f"The hub gave no {file} ({type(error).__name__}); try again, or bring the file.") from None
    return folder


def _from_object_storage(spec: EncoderSpec) -> Path:
    from google.api_core.exceptions import GoogleAPIError, NotFound
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import storage  # type: ignore[attr-defined]
    from google.cloud.storage.exceptions import DataCorruption

    bucket, _, prefix = spec.weights.source.removeprefix("gs://").partition("/")
    folder = object_cache(spec)
    _make(folder)
    try:
        client = storage.Client()
        for name in spec.files:
            path = "/".join(part for part in (prefix.strip("/"), name) if part)
            _keep(spec, client.bucket(bucket).blob(path), folder / name)
    except NotFound:
        raise UserError(f"{spec.weights.source} does not have the files of {spec.ref}: check the source.") from None
    except (GoogleAPIError, GoogleAuthError, DataCorruption, OSError) as error:
        raise Unavailable(
            f"{spec.weights.source} gave no weights ({type(error).__name__}): check that this account may read it, and "
            "try again."
        ) from None
    return folder


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The folder {folder}, where fetched weights are kept, cannot be made ({type(error).__name__}): mend that, "
            "or set TORCH_HOME and XDG_CACHE_HOME to folders that can be written."
        ) from None


def _keep(spec: EncoderSpec, blob: Any, path: Path) -> None:
    """Download an object beside its place and move it in whole, so that a cut or other one is never taken for it."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    with atomic_write(path, keep_existing=True) as file:  # another process may be first, with the same file
        blob.download_to_file(file, retry=DEFAULT_RETRY.with_timeout(RETRY_SECONDS))
        file.flush()
        check(spec, path.name, Path(file.name), where=f"{path.name} below {spec.weights.source}")

"""The entry point of the Flex Template: download the files it names and run `rawless ingest`."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rawless.cli.main import run
from rawless.errors import RawlessError, Unavailable, UserError
from rawless.loopback import check_storage_address

_SCHEME = "gs://"
RETRY_SECONDS = 60.0
"""How long requests to unavailable object storage are retried."""


def launch(arguments: Sequence[str]) -> int:
    """Launch a job from the template's parameters, and return the exit code of `rawless ingest`.

    Parameters that `ingest` does not know are passed on as Beam options.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            return run(_command(arguments, Path(folder)))
    except RawlessError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1


def _command(arguments: Sequence[str], folder: Path) -> list[str]:
    own, beam = _parser().parse_known_args(list(arguments))
    if not own.source.startswith("pubsub:"):
        raise UserError(f"The parameter source is {own.source!r}, but the template reads only from pubsub:.")
    if not any(option.startswith("--sdk_container_image=") for option in beam):
        raise UserError(
            "The option sdk_container_image is missing: set it to this image; workers would run Beam's default image."
        )
    stream, warehouse = (str(_local_copy(name, getattr(own, name), folder)) for name in ("stream", "warehouse"))
    options = ["--stream", stream, "--source", own.source, "--warehouse", warehouse, "--device", own.device]
    return ["ingest", *options, "--", *beam]


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(allow_abbrev=False, add_help=False)
    for name in ("stream", "source", "warehouse"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    return parser


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"The template's parameters are not valid: {message}.")


def _local_copy(what: str, location: str, folder: Path) -> Path:
    """Return the path of a local file, or of an object that is downloaded to `folder`."""
    if not location.startswith(_SCHEME):
        return Path(location)
    path = folder / f"{what}.yaml"
    path.write_bytes(_download(what, location))
    return path


def _download(what: str, url: str) -> bytes:
    from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import storage
    from google.cloud.storage.retry import DEFAULT_RETRY

    check_storage_address()
    bucket, _, name = url.removeprefix(_SCHEME).partition("/")
    try:
        blob = storage.Client().bucket(bucket).blob(name)
        return bytes(blob.download_as_bytes(retry=DEFAULT_RETRY.with_timeout(RETRY_SECONDS)))
    except (NotFound, Forbidden) as error:
        raise UserError(
            f"The {what} file {url} cannot be read ({type(error).__name__}): upload it, and grant the job's account "
            "read access to its bucket."
        ) from None
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        raise Unavailable(
            f"The {what} file {url} could not be downloaded ({type(error).__name__}); launch the job again."
        ) from None

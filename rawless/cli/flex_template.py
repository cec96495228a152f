"""What the Flex Template runs: `rawless ingest`, files brought from object storage, all else as Beam's options."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rawless.cli.main import run
from rawless.errors import RawlessError, Unavailable, UserError

_OBJECT = "gs://"
RETRY_SECONDS = 60.0
"""For how long object storage that is away is asked again."""


def launch(arguments: Sequence[str]) -> int:
    """Launch a job from a template's parameters, by `rawless ingest`; returns what that command's exit code is."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            return run(_command(arguments, Path(folder)))
    except RawlessError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1


def _command(arguments: Sequence[str], folder: Path) -> list[str]:
    own, beam = _parser().parse_known_args(list(arguments))
    if not own.source.startswith("pubsub:"):
        raise UserError(f"The parameter source is {own.source!r}, but a template reads pubsub: alone.")
    if not any(each.startswith("--sdk_container_image=") for each in beam):
        raise UserError("The option sdk_container_image is missing: name this image, else workers run Beam's own.")
    stream, warehouse = (str(_brought(name, getattr(own, name), folder)) for name in ("stream", "warehouse"))
    named = ["--stream", stream, "--source", own.source, "--warehouse", warehouse, "--device", own.device]
    return ["ingest", *named, "--", *beam]


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(allow_abbrev=False, add_help=False)
    for name in ("stream", "source", "warehouse"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    return parser


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"The template's parameters do not fit: {message}.")


def _brought(what: str, place: str, folder: Path) -> Path:
    """The file itself, or the object of that name, fetched."""
    if not place.startswith(_OBJECT):
        return Path(place)
    path = folder / f"{what}.yaml"
    path.write_bytes(_fetched(what, place))
    return path


def _fetched(what: str, place: str) -> bytes:
    from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import storage  # type: ignore[attr-defined]
    from google.cloud.storage.retry import DEFAULT_RETRY

    bucket, _, name = place.removeprefix(_OBJECT).partition("/")
    try:
        blob = storage.Client().bucket(bucket).blob(name)
        return bytes(blob.download_as_bytes(retry=DEFAULT_RETRY.with_timeout(RETRY_SECONDS)))
    except (NotFound, Forbidden) as error:
        raise UserError(
            f"The {what} file {place} cannot be read ({type(error).__name__}): upload it, and let the job's account "
            "read its bucket."
        ) from None
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        raise Unavailable(f"The {what} file {place} did not come ({type(error).__name__}); launch again.") from None

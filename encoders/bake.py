"""Copying an encoder's verified files to where a machine without access to a hub looks for them."""

import shutil
from pathlib import Path

from encoders import weights
from encoders.composite import CompositeSpec
from encoders.digests import check
from encoders.importing.spec_file import write_sealed
from encoders.seeded import Seeded
from encoders.spec import EncoderSpec
from rawless.errors import UserError


def bake(spec: EncoderSpec, root: Path) -> tuple[Path, ...]:
    """Copy a sealed encoder's files below `root`, laid out as RAWLESS_WEIGHTS needs it, and return their folders.

    A composite has those of its parts, weights that are drawn from a seed have none. Raises UserError when the spec is
    unsealed, so that its files cannot be verified, and as `weights.find` does.
    """
    if not spec.sealed:
        raise UserError(
            f"The encoder {spec.ref} is not sealed, so its files cannot be verified: bake the spec that "
            f"`rawless encoder seal {spec.ref}` writes where its weights are."
        )
    singles = [part.encoder for part in spec.parts] if isinstance(spec, CompositeSpec) else [spec]
    return tuple(dict.fromkeys(folder for single in singles if (folder := _copy(single, root))))


def bake_into(spec: EncoderSpec, image: Path) -> tuple[Path, ...]:
    """Copy a sealed encoder's files and its spec to a folder with `weights` and `specs`, and return the files' folders.

    RAWLESS_WEIGHTS and RAWLESS_SPECS name these two in a container image. Raises UserError as `bake` does.
    """
    folders = bake(spec, image / "weights")
    specs = image / "specs"
    specs.mkdir(parents=True, exist_ok=True)
    write_sealed(specs / f"{spec.ref}.yaml", spec, force=True)
    return folders


def _copy(spec: EncoderSpec, root: Path) -> Path | None:
    source = weights.source_of(spec)
    if isinstance(source, Seeded):
        return None
    if (name := source.folder(spec)) is None:
        raise UserError(f"{spec.ref} takes its weights from {spec.weights.source} only: put them there in the image.")
    cached, folder = weights.find(spec), root / name
    folder.mkdir(parents=True, exist_ok=True)
    for name in spec.files:
        if cached != folder:
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(cached / name, folder / name)
        check(spec, name, folder / name, where=str(folder / name))
    return folder

"""What making one encoder of another has in common, whichever step follows the network: its version and its files."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors import numpy as safetensors_numpy
from safetensors import torch as safetensors_torch

from encoders import weights
from encoders.digests import check
from encoders.seeded import Seeded
from encoders.spec import EncoderSpec, Vector
from encoders.versions import Bump, changes, next_version, order, required_bump
from rawless.errors import UserError


def check_version(before: EncoderSpec, after: EncoderSpec, what: str) -> None:
    """Raise UserError for a version of the same name that the changes do not allow; `what` names what was added."""
    if before.name != after.name:
        return
    bump = required_bump(changes(before, after))
    lowest = next_version(before.version, bump)
    if bump is not Bump.NONE and order(after.version) < order(lowest):
        raise UserError(
            f"--as is {after.ref}, but this {what} is a {bump.value} change of {before.ref}: use "
            f"{after.name}@{lowest} or a later version, or another name."
        )


def copy_files(spec: EncoderSpec, folder: Path, added: str, tensors: Mapping[str, Vector]) -> None:
    """Copy the files of an encoder to a new folder, and write the tensors into the file `added` beside them.

    Weights of a seed are drawn. Raises UserError when files are missing or changed, or the folder is there already or
    cannot be written.
    """
    source = weights.source_of(spec)
    drawn = source.draw(spec) if isinstance(source, Seeded) else None
    found = None if drawn else weights.find(spec)
    try:
        folder.mkdir(parents=True)
        for name in spec.files:
            (folder / name).parent.mkdir(exist_ok=True)
            if found:
                shutil.copyfile(found / name, folder / name)
            elif drawn:
                safetensors_torch.save_file(drawn, folder / name)
            check(spec, name, folder / name, where=str(folder / name))
        safetensors_numpy.save_file(dict(tensors), folder / added)
    except OSError as error:
        raise UserError(
            f"The folder {folder} cannot be written ({type(error).__name__}): name another by --out, or remove it."
        ) from None

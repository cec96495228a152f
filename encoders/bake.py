"""Baking: an encoder's files, proven by digest, put where a machine without a hub will look for them."""

import shutil
from pathlib import Path

from encoders import seeded, weights
from encoders.digests import check
from encoders.spec import EncoderSpec
from rawless.errors import UserError


def bake(spec: EncoderSpec, root: Path) -> Path | None:
    """Copy a sealed encoder's files below `root`, as RAWLESS_WEIGHTS names it; None for weights drawn from a seed.

    Raises UserError when the spec is unsealed, so that nothing tells its files from others, and as `weights.find` does.
    """
    if not spec.sealed:
        raise UserError(
            f"The encoder {spec.ref} is not sealed, so its files cannot be verified: bake the sealed spec, which "
            f"`rawless encoder show {spec.ref} --json` prints once it is registered."
        )
    if seeded.is_seeded(spec):
        return None
    if spec.weights.source.startswith("path:"):
        raise UserError(
            f"{spec.ref} looks for its weights at {spec.weights.source} alone: put them there in the image."
        )
    found, place = weights.find(spec), root / weights.folder(spec)
    place.mkdir(parents=True, exist_ok=True)
    for name in spec.files:
        if found != place:
            shutil.copyfile(found / name, place / name)
        check(spec, name, place / name, where=str(place / name))
    return place

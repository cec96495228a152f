"""Making an encoder with a defence of one without: the same network, and another name, version and fingerprint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from encoders import weights
from encoders.catalogue import parse
from encoders.composite import CompositeSpec
from encoders.derive import check_version, copy_files
from encoders.learned_projection import AffineMap
from encoders.seal import seal
from encoders.seeded import Seeded
from encoders.spec import EncoderSpec
from rawless.errors import UserError

LEARNED_FILE = "learned-projection.safetensors"


def check_defensible(spec: EncoderSpec, *, learned: bool) -> None:
    """Raise UserError for an encoder that has a defence, or whose files cannot be copied beside a learned one."""
    if not spec.sealed:
        raise UserError(f"{spec.ref} is not sealed: run `rawless encoder register {spec.ref}` first.")
    if spec.defence != "none":
        parent = f", {spec.parent}" if spec.parent else ""
        raise UserError(f"{spec.ref} has a defence already: defend the encoder that it was made of{parent}.")
    if learned and isinstance(spec, CompositeSpec):
        raise UserError(
            f"{spec.ref} is a composite, which has no folder to put a learned projection into: use --project or "
            "--truncate."
        )
    if learned and isinstance(weights.source_of(spec), Seeded):
        raise UserError(
            f"The weights of {spec.ref} are drawn from a seed and have no folder to put a learned projection into: use "
            "an encoder with files."
        )


def defend(
    spec: EncoderSpec, name: str, version: str, steps: Mapping[str, Any], learned: AffineMap | None, folder: Path
) -> EncoderSpec:
    """Return the sealed spec of an encoder with the steps of a defence; `spec` is its parent.

    With a learned projection its files are copied to `folder`, which must not exist, beside the projection's. Raises
    UserError when the steps break a rule, or the version is too low for an encoder of the parent's name.
    """
    defence = {"full_dimension": spec.dimension, **steps}
    identity = spec.identity() | {"name": name, "version": version, "parent": spec.ref}
    if learned:
        defence["learned"] = {"file": LEARNED_FILE, "dimension": len(learned.bias)}
        identity["weights"] = {"source": f"path:{folder.absolute()}", "files": spec.weights.files}
    dimensions = [defence.get("truncate"), defence.get("project", {}).get("dimension"), learned and len(learned.bias)]
    dimension = next((each for each in reversed(dimensions) if each), spec.dimension)
    unsealed = parse(identity | {"defence": defence, "dimension": dimension}, f"The encoder {name}@{version}")
    check_version(spec, unsealed, "defence")
    if learned:
        copy_files(spec, folder, LEARNED_FILE, {"weight": learned.weight, "bias": learned.bias})
    return seal(unsealed)

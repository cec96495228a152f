"""The catalogue of encoder specs: those that Rawless ships, those in a folder of the user's, and others by path."""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from encoders import families
from encoders.spec import EncoderSpec
from rawless.config import check, read_mapping
from rawless.content import Modality
from rawless.errors import UserError
from rawless.similar_names import similar

FOLDER = Path(__file__).parent / "specs"
SPECS_VARIABLE = "RAWLESS_SPECS"
"""Names a folder of further specs, each in NAME@VERSION.yaml, such as those whose weights a container image has."""


def refs() -> list[str]:
    """Return the references of the catalogue's encoders, as name@version. Raises UserError as `lookup` does."""
    return sorted({path.stem for folder in (FOLDER, _own_folder()) if folder for path in folder.glob("*.yaml")})


def lookup(ref: str) -> EncoderSpec:
    """Return the spec that `ref` names: name@version of the catalogue, or the path of a YAML file.

    For a shipped spec that is unsealed, the folder that RAWLESS_SPECS names may contain the sealed one. Raises
    UserError when there is no such spec, naming the known ones, when its file breaks a rule, or when RAWLESS_SPECS
    names no folder.
    """
    known = refs()
    if ref in known:
        return _named(ref)
    if ref.endswith((".yaml", ".yml")):
        return _read(Path(ref))
    if "@" not in ref and (versions := [known_ref for known_ref in known if known_ref.split("@")[0] == ref]):
        raise UserError(f"The encoder {ref!r} needs its version, as in {versions[-1]}.")
    newest = {each.partition("@")[0]: each for each in known}
    meant = similar(ref.partition("@")[0], newest)  # versions are similar whatever the name
    near = f" (did you mean {newest[meant]}?)" if meant else ""
    raise UserError(
        f"The encoder {ref!r} is unknown{near}: use one of {', '.join(known)}, or the path of a spec ending in .yaml."
    )


def _named(ref: str) -> EncoderSpec:
    """Return the spec of a name and version. Raises UserError when a file of the user's is of another encoder."""
    folder, shipped = _own_folder(), FOLDER / f"{ref}.yaml"
    own = folder / f"{ref}.yaml" if folder else shipped
    if own == shipped or not own.is_file():
        return _read(shipped)
    spec = _read(own)
    if spec.ref != ref:
        raise UserError(f"The encoder spec {own} is of {spec.ref}: name its file {spec.ref}.yaml.")
    if shipped.is_file() and not spec.completes(_read(shipped)):
        raise UserError(
            f"The encoder spec {own} is another encoder than {ref} of the catalogue: give it another name or version."
        )
    return spec


def _own_folder() -> Path | None:
    if not (name := os.environ.get(SPECS_VARIABLE)):
        return None
    if not Path(name).is_dir():
        raise UserError(f"{SPECS_VARIABLE} names {name}, which is no folder: create it, or correct the variable.")
    return Path(name)


def parse(data: Mapping[str, Any], where: str) -> EncoderSpec:
    """Return the fields of a spec as the spec class of its architecture's family.

    Raises UserError when a field breaks a rule, starting with `where`.
    """
    key = check(data, _FamilyKey, where=where)
    if (family := families.find(key.architecture, key.modality)) is None:
        known = families.architectures(key.modality)
        near = get_close_matches(key.architecture, known, n=5, cutoff=0.3) or known[:5]
        raise UserError(
            f"{where}: architecture is {key.architecture!r}, but the rule is: one of {len(known)}, such as "
            f"{', '.join(near)}."
        )
    return check(data, family.spec, where=where)


class _FamilyKey(BaseModel):
    """The fields that decide which family a spec belongs to; the spec class of the family checks the other fields."""

    modality: Modality
    architecture: Annotated[str, Field(max_length=64)]


def _read(path: Path) -> EncoderSpec:
    return parse(read_mapping(path, what="encoder spec"), f"The encoder spec {path}")

"""The catalogue of encoder specs that Rawless ships, and specs of users by path."""

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

FOLDER = Path(__file__).parent / "specs"


def refs() -> list[str]:
    """Return the references of the catalogue's encoders, as name@version."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def lookup(ref: str) -> EncoderSpec:
    """Return the spec that `ref` names: name@version of the catalogue, or the path of a YAML file.

    Raises UserError when there is none, naming the known ones, or when the file breaks a rule.
    """
    if ref in refs():
        return _read(FOLDER / f"{ref}.yaml")
    if ref.endswith((".yaml", ".yml")):
        return _read(Path(ref))
    known = ", ".join(refs())
    if "@" not in ref and (versions := [known_ref for known_ref in refs() if known_ref.split("@")[0] == ref]):
        raise UserError(f"The encoder {ref!r} needs its version, as in {versions[-1]}.")
    raise UserError(f"The encoder {ref!r} is unknown: use one of {known}, or the path of a spec ending in .yaml.")


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

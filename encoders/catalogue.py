"""The catalogue: specs that come with Rawless, and the user's own by path."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from encoders.image_spec import ImageSpec
from encoders.spec import EncoderSpec
from encoders.text_spec import TextSpec
from rawless.config import check, read_mapping
from rawless.errors import UserError

FOLDER = Path(__file__).parent / "specs"
_KINDS: dict[str, type[EncoderSpec]] = {"text": TextSpec, "image": ImageSpec}


def refs() -> list[str]:
    """The encoders of the catalogue, as name@version."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def lookup(ref: str) -> EncoderSpec:
    """The spec that `ref` names: name@version of the catalogue, or the path of a YAML file.

    Raises UserError when there is none, naming what there is, or when the file breaks a rule.
    """
    if ref in refs():
        return _read(FOLDER / f"{ref}.yaml")
    if ref.endswith((".yaml", ".yml")):
        return _read(Path(ref))
    known = ", ".join(refs())
    if "@" not in ref and (versions := [each for each in refs() if each.split("@")[0] == ref]):
        raise UserError(f"The encoder {ref!r} needs its version, as in {versions[-1]}.")
    raise UserError(f"The encoder {ref!r} is unknown: use one of {known}, or the path of a spec ending in .yaml.")


def parse(data: Mapping[str, Any], where: str) -> EncoderSpec:
    """The fields of a spec as the kind that its modality names. Raises UserError when they break a rule."""
    modality = data.get("modality", "text")  # where it is missing, the check says so
    kind = _KINDS.get(modality) if isinstance(modality, str) else None
    if kind is None:
        raise UserError(f"{where}: modality is {modality!r}, but the rule is: one of {', '.join(_KINDS)}.")
    return check(data, kind, where=where)


def _read(path: Path) -> EncoderSpec:
    return parse(read_mapping(path, what="encoder spec"), f"The encoder spec {path}")

"""The catalogue: specs that come with Rawless, and the user's own by path."""

from pathlib import Path

from encoders.spec import EncoderSpec
from privacy import UserError
from privacy.configuration import read_yaml

FOLDER = Path(__file__).parent / "specs"


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


def _read(path: Path) -> EncoderSpec:
    return read_yaml(path, EncoderSpec, what="encoder spec")

"""Making the sealed spec of a model that was trained elsewhere."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import get_args

from pydantic import ValidationError

from encoders import families
from encoders.catalogue import parse
from encoders.clip import ARCHITECTURES as TOWERS
from encoders.importing.decisions import DEFAULT, Decisions
from encoders.importing.image_fields import decide_image
from encoders.importing.locate import locate
from encoders.importing.model_card import CARD, ModelCard
from encoders.importing.model_folder import ModelFolder
from encoders.importing.options import ImportOptions
from encoders.importing.text_fields import TOKENIZER, decide_text
from encoders.importing.tower_fields import decide_tower
from encoders.precision import LOWEST_TOLERANCE
from encoders.seal import seal
from encoders.spec import EncoderSpec, Name, Version
from rawless.config import FrozenModel
from rawless.content import Modality
from rawless.errors import UserError

PROCESSOR = "preprocessor_config.json"
_Decide = Callable[[ModelFolder, ImportOptions, Decisions], None]
_DECIDE: Mapping[Modality, _Decide] = {"text": decide_text, "image": decide_image}


@dataclass(frozen=True)
class Imported:
    """A sealed spec, what was decided about it, and the folder of its files."""

    spec: EncoderSpec
    decisions: Decisions
    folder: ModelFolder


def import_encoder(source: str, ref: str, options: ImportOptions) -> Imported:
    """Return the sealed spec of the model in a folder, or of `hf:OWNER/NAME`, as `ref`, which is name@version.

    Raises UserError when there is no such model, when a spec cannot say what it asks for, and as `seal` does.
    """
    as_ref = split_ref(ref)
    folder, location = locate(source)
    config, decisions = folder.config(), Decisions()
    kind = _model_type(folder, config.get("model_type"))
    modality, origin = _modality(folder, kind, options)
    decisions.decide("name", as_ref.name, "--as")
    decisions.decide("version", as_ref.version, "--as")
    decisions.decide("modality", modality, origin)
    decisions.decide("architecture", kind, "config.json")
    decisions.decide("weights.source", location, "SOURCE")
    decide = decide_tower if kind in TOWERS else _DECIDE[modality]
    decide(folder, options, decisions)
    _decide_rest(ModelCard(folder), options, decisions)
    spec = parse(decisions.data(), f"The encoder spec of {folder.source}")
    return Imported(seal(spec), decisions, folder)


class _Ref(FrozenModel):
    name: Name
    version: Version


def split_ref(ref: str) -> _Ref:
    """Return the parts of the reference that an encoder is to have. Raises UserError, as of the option --as."""
    name, _, version = ref.partition("@")
    try:
        return _Ref(name=name, version=version)
    except ValidationError:
        raise UserError(
            f"--as is {ascii(ref)[:80]}, but the rule is: NAME@VERSION, with a name of lower-case letters, digits and "
            "hyphens, and a version of three numbers, as in minilm@1.0.0."
        ) from None


def _model_type(folder: ModelFolder, kind: object) -> str:
    """Return the model type of a configuration. Raises UserError if the library has none of that name."""
    from transformers import CONFIG_MAPPING

    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise UserError(
            f"{folder.source} is of the model type {ascii(kind)[:64]} (config.json), which the installed transformers "
            "does not have: use another model, or a version of transformers that has it."
        )
    return kind


def _modality(folder: ModelFolder, kind: str, options: ImportOptions) -> tuple[Modality, str]:
    """Return what the encoder takes, and where that came from."""
    named = [modality for modality in get_args(Modality) if kind in families.architectures(modality)]
    if folder.has(PROCESSOR) and not folder.has(TOKENIZER) and not named:
        raise UserError(
            f"{folder.source} is an image model of the type {kind}, which no family of encoders has: use one of "
            f"{', '.join(families.architectures('image'))}."
        )
    possible = named or ["text"]
    if options.modality is not None and options.modality not in possible:
        raise UserError(f"--modality is {options.modality}, but {kind} is a model of {possible[0]}s: leave it out.")
    if len(possible) > 1 and options.modality is None:
        raise UserError(
            f"{folder.source} has a tower for images and one for texts, each an encoder of its own: say --modality "
            "image or --modality text, and import both for vectors that are compared with each other."
        )
    return (options.modality, "--modality") if options.modality else (possible[0], "config.json")


def _decide_rest(card: ModelCard, options: ImportOptions, decisions: Decisions) -> None:
    """Decide the fields that all encoders have."""
    precision = options.precision or "fp32"
    decisions.decide("precision", precision, "--precision" if options.precision else DEFAULT)
    usual = 1e-5 if decisions.made["l2_normalise"].value else 1e-4
    decisions.decide("tolerance", max(usual, LOWEST_TOLERANCE.get(precision, 0.0)), DEFAULT)
    if options.training_domain is not None:
        decisions.decide("training_domain", options.training_domain, "--training-domain")
    elif card.datasets:
        decisions.decide("training_domain", f"the data sets {', '.join(card.datasets)}", CARD)
    else:
        decisions.decide("training_domain", "unknown", DEFAULT)
        decisions.miss("No file says what it was trained on: say it with --training-domain.", DEFAULT)
    if card.license:
        decisions.miss(f"Its licence is {card.license}: check that it allows your use.", CARD)

"""The towers of a CLIP or SigLIP checkpoint: an encoder of images and one of texts, whose vectors may be compared.

Radford et al., Learning Transferable Visual Models From Natural Language Supervision (2021); Zhai et al., Sigmoid Loss
for Language Image Pre-Training (2023).
"""

import hashlib
import re
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from encoders import weights
from encoders.huggingface_folder import from_safetensors, load_from_files, refuse_missing, refuse_unsupported
from encoders.spec import EncoderSpec, canonical_json
from rawless.errors import UserError

if TYPE_CHECKING:
    import torch

Architecture = Literal["clip", "siglip"]
"""The `model_type` of the checkpoint's configuration."""
ARCHITECTURES = frozenset[str](get_args(Architecture))
_OF_ONE_TOWER = {"name", "version", "modality", "preprocessing", "tolerance", "training_domain", "parent"}
"""The fields in which two towers of one space may differ. Any other field, also a future one, divides spaces."""
_TOWERS = {
    ("clip", "image"): "CLIPVisionModelWithProjection",
    ("clip", "text"): "CLIPTextModelWithProjection",
    ("siglip", "image"): "SiglipVisionModel",
    ("siglip", "text"): "SiglipTextModel",
}
"""The classes of transformers that contain one tower, with its projection, and not the other."""


class TowerSpec(EncoderSpec):
    """The spec of one of the two towers of a checkpoint. A vector is the tower's output after its projection."""

    @property
    def space(self) -> str:
        """See `EncoderSpec.space`: the digest of everything but what each tower has for itself."""
        _ = self.fingerprint  # raises for an unsealed spec
        if self.queries_of:
            return super().space
        shared = {name: value for name, value in self.identity().items() if name not in _OF_ONE_TOWER}
        shared["weights"] = self.weights.files  # wherever they come from
        return hashlib.sha256(canonical_json({"space": shared}).encode()).hexdigest()


def load_tower(spec: TowerSpec) -> "torch.nn.Module":
    """Return the tower of a spec's modality in evaluation mode.

    The other tower is not read. Raises UserError when the files do not fit the fields.
    """
    source = weights.find(spec)
    refuse_unsupported(spec, source)

    def load(folder: Path) -> "tuple[torch.nn.Module, set[str]]":
        import transformers

        whole = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if whole.model_type != spec.architecture:
            raise UserError(
                f"{spec.ref} says architecture {spec.architecture}, but its config.json says "
                f"{str(whole.model_type)[:64]}: correct the spec, or name a checkpoint of both towers."
            )
        config = whole.vision_config if spec.modality == "image" else whole.text_config
        if spec.architecture == "clip":
            config.projection_dim = whole.projection_dim  # that of a tower alone is not used, and may be another one
        tower_class = getattr(transformers, _TOWERS[spec.architecture, spec.modality])
        tower, missing = from_safetensors(tower_class, folder, config=config)
        return tower.eval(), missing

    tower, missing = load_from_files(spec, source, load)
    refuse_missing(spec, missing)
    return tower


def load_tokenizer(spec: TowerSpec) -> Any:
    """Return the fast tokenizer of a text tower. Raises UserError when its files cannot be loaded."""
    source = weights.find(spec)
    refuse_unsupported(spec, source)
    return load_from_files(spec, source, read_tokenizer)


def read_tokenizer(folder: Path) -> Any:
    """Return the fast tokenizer of a folder, which makes of a text the tokens that the library makes of it."""
    import transformers

    config = transformers.models.auto.tokenization_auto.get_tokenizer_config(folder, local_files_only=True)
    if config.get("tokenizer_class") != "SiglipTokenizer":
        return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    # That class is not a fast one. Its Python code makes texts plain, which tokenizer.json alone need not do.
    from tokenizers import Regex, normalizers

    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    backend = tokenizer.backend_tokenizer
    plain = [
        *([normalizers.Lowercase()] if config.get("do_lower_case", True) else ()),
        normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""),
        normalizers.Replace(Regex(r"\s+"), " "),
        normalizers.Strip(),
    ]
    backend.normalizer = normalizers.Sequence([*plain, *([backend.normalizer] if backend.normalizer else ())])
    return tokenizer


def check_dimension(spec: TowerSpec, dimension: int) -> None:
    """Raise UserError unless a spec says the dimension that its tower has."""
    if dimension != spec.dimension:
        raise UserError(
            f"{spec.ref} says dimension {spec.dimension}, but its {spec.modality} tower has {dimension}: correct the "
            "spec."
        )

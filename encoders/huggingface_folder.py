"""Loading Hugging Face models from folders, and refusing what a folder asks for that a spec cannot say.

The vectors of such a folder would not be those of its authors.
"""

import tempfile
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from encoders.sentence_modules import Dense, check_modules, read_json
from encoders.spec import EncoderSpec
from encoders.text_spec import TextSpec
from rawless.errors import UserError

_UNSUPPORTED_TYPES = {"xlnet"}
"""Model types whose tokens are padded on the left and have a type of their own."""
_SENTENCE_PIECE = (".model", ".spm")
ENCODER_CLASSES = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}
"""Classes of transformers for the model types with an encoder and a decoder whose encoder is used alone."""
T = TypeVar("T")


def load_from_files(spec: EncoderSpec, source: Path, load: Callable[[Path], T]) -> T:
    """Return what `load` makes of a folder that contains the files of a spec, of those in the folder `source`, alone.

    So other files of the source have no effect. Raises UserError when they cannot be loaded.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    with tempfile.TemporaryDirectory(prefix="rawless-encoder-") as folder:
        for name in spec.files:
            link = Path(folder) / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source / name)
        try:
            return load(Path(folder))
        except UserError:
            raise
        except Exception as error:  # noqa: BLE001 - each file format and library has its own errors
            raise UserError(
                f"The files of {spec.ref} in {source} cannot be loaded as a Hugging Face encoder "
                f"({type(error).__name__}): compare weights and preprocessing of the spec with the folder."
            ) from None


def from_safetensors(model_class: Any, folder: Path, **options: Any) -> tuple[Any, set[str]]:
    """Return the model of a class of transformers in fp32, and the names of the tensors that its weights lack.

    The library initialises those at random.
    """
    import torch

    model, loading = model_class.from_pretrained(
        folder,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        dtype=torch.float32,
        output_loading_info=True,
        **options,
    )
    return model, loading["missing_keys"]


def refuse_missing(spec: EncoderSpec, missing: Collection[str], advice: str = "replace the file") -> None:
    """Raise UserError if the weights of a spec lack a tensor that its vectors need."""
    if missing:
        raise UserError(
            f"The weights of {spec.ref} lack {min(missing)} and {len(missing) - 1} other tensors: {advice}."
        )


def refuse_own_code(ref: str, folder: Path, names: Iterable[str]) -> None:
    """Raise UserError when one of these JSON files of the encoder `ref` asks for code of its own."""
    for name in names:
        content = read_json(folder / name)
        if isinstance(content, dict) and content.get("auto_map"):
            raise UserError(
                f"{ref} needs code of its own (auto_map in {name}), which is never run: use a model that the library "
                "transformers contains."
            )


def refuse_unsupported(spec: EncoderSpec, folder: Path, dense: Sequence[Dense] = ()) -> None:
    """Raise UserError naming what the model of a folder needs and a spec cannot say, or this one does not."""
    config = read_json(folder / "config.json") if "config.json" in spec.files else {}
    refuse_own_code(spec.ref, folder, {"config.json", "tokenizer_config.json"} & spec.files.keys())
    kind = str(config.get("model_type"))[:64]
    has_decoder = config.get("is_encoder_decoder") and kind not in ENCODER_CLASSES
    if has_decoder or kind in _UNSUPPORTED_TYPES:
        what = "has an encoder and a decoder" if has_decoder else "is not supported"
        raise UserError(
            f"{spec.ref} is of the model type {kind}, which {what}: use an encoder such as bert or t5, or a decoder "
            "such as qwen3."
        )
    sentence_piece = [name for name in spec.files if name.endswith(_SENTENCE_PIECE)]
    if sentence_piece and "tokenizer.json" not in spec.files:
        raise UserError(
            f"{spec.ref} has the tokenizer {sentence_piece[0]} without tokenizer.json: convert it once with "
            "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER), and name tokenizer.json in the spec."
        )
    if isinstance(spec, TextSpec):
        check_modules(spec, folder, dense)

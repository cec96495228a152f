"""Loading Hugging Face models from folders, and refusing what a folder asks for that a spec cannot say.

The vectors of such a folder would not be those of its authors.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from encoders.spec import EncoderSpec
from rawless.errors import UserError

SENTENCE_TRANSFORMERS_FILES = ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json")
"""Read to refuse what they ask for, if they are there; they have no digests, since nothing is computed from them."""
_MODULES = {"Transformer", "Pooling", "Normalize", "Dropout"}
"""Modules of sentence-transformers that fields of the spec stand for, or that do nothing outside of training."""
_UNSUPPORTED_TYPES = {"xlnet"}
"""Model types whose tokens are padded on the left and have a type of their own."""
_SENTENCE_PIECE = (".model", ".spm")
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


def refuse_unsupported(spec: EncoderSpec, folder: Path) -> None:
    """Raise UserError naming what the model of a folder needs and a spec cannot say."""
    config = _read(folder / "config.json") if "config.json" in spec.files else {}
    tokenizer = _read(folder / "tokenizer_config.json") if "tokenizer_config.json" in spec.files else {}
    for name, content in (("config.json", config), ("tokenizer_config.json", tokenizer)):
        if content.get("auto_map"):
            raise UserError(
                f"{spec.ref} needs code of its own (auto_map in {name}), which is never run: use a model that the "
                "library transformers contains."
            )
    kind = str(config.get("model_type"))[:64]
    if config.get("is_encoder_decoder") or kind in _UNSUPPORTED_TYPES:
        what = "has an encoder and a decoder" if config.get("is_encoder_decoder") else "is not supported"
        raise UserError(
            f"{spec.ref} is of the model type {kind}, which {what}: use an encoder such as bert or roberta."
        )
    sentence_piece = [name for name in spec.files if name.endswith(_SENTENCE_PIECE)]
    if sentence_piece and "tokenizer.json" not in spec.files:
        raise UserError(
            f"{spec.ref} has the tokenizer {sentence_piece[0]} without tokenizer.json: convert it once with "
            "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER), and name tokenizer.json in the spec."
        )
    _refuse_unsupported_modules(spec, folder)


def _refuse_unsupported_modules(spec: EncoderSpec, folder: Path) -> None:
    modules, settings, texts = (_read(folder / name) for name in SENTENCE_TRANSFORMERS_FILES)
    for module in modules if isinstance(modules, list) else []:
        kind = str(module.get("type")).rpartition(".")[2][:64]
        if kind not in _MODULES:
            raise UserError(
                f"{spec.ref} has a module {kind} of sentence-transformers (modules.json), without which its vectors "
                f"are others: use a model of {', '.join(sorted(_MODULES))} only."
            )
    prompt = settings.get("default_prompt_name")
    if prompt is not None and (settings.get("prompts") or {}).get(prompt):
        raise UserError(
            f"{spec.ref} has a default prompt (config_sentence_transformers.json), which would be missing before each "
            "text: use a model without one."
        )
    if texts.get("do_lower_case"):
        raise UserError(
            f"{spec.ref} lower-cases texts before its tokenizer (sentence_bert_config.json), which a spec cannot say: "
            "use a model whose tokenizer does it."
        )


def _read(file: Path) -> Any:
    """Return the JSON of a file; an empty object when it is absent, or is not JSON, which the library reports."""
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}

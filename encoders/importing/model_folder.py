"""`ModelFolder`: the files of a model as Hugging Face libraries save them, and refusing what is never loaded."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rawless.errors import UserError

_WEIGHTS = "model.safetensors"
_INDEX = f"{_WEIGHTS}.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)
"""Files that the library reads to make a fast tokenizer, beside those of SentencePiece."""
_SENTENCE_PIECE = ("*.model", "*.spm")
_CODE = "auto_map"
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
"""Of a file or folder in the folder of a model."""


@dataclass(frozen=True)
class ModelFolder:
    """A folder with the files of one model; `source` is what messages call it."""

    path: Path
    source: str

    def has(self, name: str) -> bool:
        """Return whether the folder has a file."""
        return (self.path / name).is_file()

    def read(self, name: str) -> dict[str, Any]:
        """Return the object in a JSON file; an empty one if there is no such file. Raises UserError."""
        content = self._parse(name)
        if not isinstance(content, dict):
            raise UserError(f"{name} of {self.source} is not an object in JSON: restore the file.")
        return content

    def read_list(self, name: str) -> list[Mapping[str, Any]]:
        """Return the objects of a list in a JSON file; an empty list if there is no such file. Raises UserError."""
        content = self._parse(name) if self.has(name) else []
        if not isinstance(content, list) or not all(isinstance(each, dict) for each in content):
            raise UserError(f"{name} of {self.source} is not a list of objects in JSON: restore the file.")
        return content

    def _parse(self, name: str) -> Any:
        try:
            return json.loads((self.path / name).read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(
                f"{name} of {self.source} cannot be read as JSON ({type(error).__name__}): restore the file."
            ) from None

    def config(self) -> dict[str, Any]:
        """Return config.json. Raises UserError if there is none, or if the model is never loaded, by reason."""
        if not self.has("config.json"):
            raise UserError(
                f"{self.source} has no config.json, so it is no model as Hugging Face libraries save it: name the "
                "folder that save_pretrained wrote."
            )
        config = self.read("config.json")
        for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
            if self.has(name) and self.read(name).get(_CODE):
                raise UserError(
                    f"{self.source} needs code of its own ({_CODE} in {name}), which is never run: use a model that "
                    "the library transformers contains."
                )
        if self.has("adapter_config.json"):
            raise UserError(
                f"{self.source} is an adapter of another model (adapter_config.json): merge them with "
                "peft's merge_and_unload(), save the result, and import that folder."
            )
        if config.get("quantization_config"):
            raise UserError(
                f"{self.source} has quantised weights (quantization_config in config.json): import the weights that "
                "they were made from."
            )
        return config

    def library_config(self) -> Any:
        """Return config.json as the library transformers reads it. Raises UserError if it cannot."""
        from transformers import AutoConfig

        try:
            return AutoConfig.from_pretrained(self.path, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # noqa: BLE001 - each model type has its own errors
            raise UserError(
                f"config.json of {self.source} cannot be read as that of a model ({type(error).__name__}): restore the "
                "file, or use another version of transformers."
            ) from None

    def weights(self, folder: str = "") -> list[str]:
        """Return the .safetensors files of the model, or of a module in a folder of it, and their index if any.

        Raises UserError when there are none, or when some of those in the index are missing.
        """
        prefix = f"{folder}/" if folder else ""
        if self.has(prefix + _WEIGHTS):
            return [prefix + _WEIGHTS]
        if self.has(prefix + _INDEX):
            return [*self._shards(prefix), prefix + _INDEX]
        pickles = sorted(path.name for pattern in _PICKLES for path in (self.path / folder).glob(pattern))
        if pickles:
            library = (
                "SentenceTransformer(FOLDER).save_pretrained(NEW)"
                if self.has("modules.json")
                else "AutoModel.from_pretrained(FOLDER).save_pretrained(NEW), and AutoTokenizer or AutoImageProcessor "
                "likewise"
            )
            raise UserError(
                f"{self.source} has {prefix}{_shown(pickles[0])} and no {prefix}{_WEIGHTS}, but a pickle can run code: "
                f"convert it once on a machine without secrets, with {library}, and import NEW."
            )
        raise UserError(f"{self.source} has no {prefix}{_WEIGHTS}: copy the weights there.")

    def _shards(self, prefix: str) -> list[str]:
        shards = self.read(prefix + _INDEX).get("weight_map")
        names = sorted({str(name) for name in shards.values()}) if isinstance(shards, dict) else []
        if not names or not all(FILE_NAME.fullmatch(name) and name.endswith(".safetensors") for name in names):
            raise UserError(f"{prefix}{_INDEX} of {self.source} does not name .safetensors files: restore it.")
        for name in names:
            if not self.has(prefix + name):
                raise UserError(
                    f"{self.source} has no {prefix}{name}, one of the {len(names)} parts that {prefix}{_INDEX} "
                    "names: copy it there."
                )
        return [prefix + name for name in names]

    def tokenizer_files(self) -> list[str]:
        """Return the files of the tokenizer. Raises UserError if it has no fast form, tokenizer.json."""
        pieces = sorted(path.name for pattern in _SENTENCE_PIECE for path in self.path.glob(pattern))
        names = [name for name in (*_TOKENIZER, *pieces) if self.has(name) and FILE_NAME.fullmatch(name)]
        if "tokenizer.json" in names:
            return names
        if names:
            raise UserError(
                f"{self.source} has a tokenizer without tokenizer.json: convert it once with "
                "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)."
            )
        raise UserError(f"{self.source} has no tokenizer: copy tokenizer.json and tokenizer_config.json there.")


def _shown(name: str) -> str:
    return name if FILE_NAME.fullmatch(name) else ascii(name)[:60]

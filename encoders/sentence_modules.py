"""What a folder of sentence-transformers asks for beside its transformer, and whether a spec says the same.

Its configurations are read to refuse what a spec does not say; they have no digests, since nothing is computed from
them. A sealed spec has its vectors, whatever they say.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from encoders.spec import FolderName
from encoders.text_spec import TextSpec
from rawless.config import FrozenModel
from rawless.errors import UserError

CONFIGS = ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json")
MODULE_CONFIGS = "[0-9]_*/config.json"
"""The configurations of the modules, as a pattern of the hub."""
Activation = Literal["identity", "tanh", "relu", "gelu", "silu", "sigmoid"]
ACTIVATIONS: Mapping[str, Activation] = {
    "Identity": "identity",
    "Tanh": "tanh",
    "ReLU": "relu",
    "GELU": "gelu",
    "SiLU": "silu",
    "Sigmoid": "sigmoid",
}
"""The values of `activation` by the names of torch's classes."""
_MODULES = {"Transformer", "Pooling", "Dense", "Normalize", "Dropout"}
"""Modules that fields of the spec stand for, or that do nothing outside of training."""
PROMPT_NAMES = {"document": ("document", "passage", "corpus"), "query": ("query",)}
"""The names that prompts of each role have, best first."""


class Dense(FrozenModel):
    """A linear map and an activation."""

    folder: FolderName
    """Where its model.safetensors is, in the folder of the weights."""
    activation: Activation

    @property
    def file(self) -> str:
        """The file of its weights."""
        return f"{self.folder}/model.safetensors"


def check_modules(spec: TextSpec, folder: Path, dense: Sequence[Dense]) -> None:
    """Raise UserError naming what the configurations of a folder ask for, and the spec or its `dense` does not say."""
    modules, settings, texts = (read_json(folder / name) for name in CONFIGS)
    found = [each for each in modules if isinstance(each, dict)] if isinstance(modules, list) else []
    if found:
        _check_kinds(spec, folder, found, dense)
    if isinstance(settings, dict) and not spec.sealed:
        _check_prompts(spec, settings)
    if isinstance(texts, dict) and texts.get("do_lower_case"):
        raise UserError(
            f"{spec.ref} lower-cases texts before its tokenizer (sentence_bert_config.json), which a spec cannot say: "
            "use a model whose tokenizer does it."
        )


def _check_kinds(spec: TextSpec, folder: Path, modules: Sequence[Mapping[str, Any]], dense: Sequence[Dense]) -> None:
    kinds = [str(module.get("type")).rpartition(".")[2][:64] for module in modules]
    if unknown := [kind for kind in kinds if kind not in _MODULES]:
        raise UserError(
            f"{spec.ref} has a module {unknown[0]} of sentence-transformers (modules.json), without which its vectors "
            f"are others: use a model of {', '.join(sorted(_MODULES))} only."
        )
    configs = [_config_of(folder, module) for module in modules]
    asked = [
        (str(module.get("path"))[:128], _activation(spec, config))
        for kind, module, config in zip(kinds, modules, configs, strict=True)
        if kind == "Dense"
    ]
    said = [(module.folder, module.activation) for module in dense]
    if [path for path, _ in asked] != [path for path, _ in said] or any(
        activation not in (None, other) for (_, activation), (_, other) in zip(asked, said, strict=True)
    ):
        raise UserError(
            f"{spec.ref} has the modules Dense {_spell(asked)} of sentence-transformers (modules.json), but its spec "
            f"says {_spell(said)}: correct dense."
        )
    if "Normalize" in kinds and "Dense" in kinds[kinds.index("Normalize") :]:
        raise UserError(
            f"{spec.ref} normalises vectors before a module Dense (modules.json), which a spec cannot say: use a model "
            "that normalises at the end."
        )
    if spec.sealed:
        return
    if "Normalize" in kinds and not spec.l2_normalise:
        raise UserError(f"{spec.ref} normalises its vectors (modules.json): set l2_normalise to true.")
    if any(config.get("include_prompt") is False for config in configs):
        raise UserError(
            f"{spec.ref} leaves the prompt out of its pooling (include_prompt in 1_Pooling/config.json), which a spec "
            "cannot say: use a model that pools over all tokens."
        )


def _config_of(folder: Path, module: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the configuration of a module; empty when it has no folder of its own, or no configuration there."""
    path = str(module.get("path") or "")
    config = read_json(folder / path / "config.json") if path and Path(path).name == path != ".." else {}
    return config if isinstance(config, dict) else {}


def _activation(spec: TextSpec, config: Mapping[str, Any]) -> str | None:
    """Return the activation of a module Dense; None when there is no configuration."""
    if not config:
        return None
    name = str(config.get("activation_function", "Tanh")).rpartition(".")[2][:64]  # Tanh is the library's default
    inputs = {str(config.get(key) or "sentence_embedding") for key in ("module_input_name", "module_output_name")}
    if name not in ACTIVATIONS or config.get("use_residual") or inputs != {"sentence_embedding"}:
        raise UserError(
            f"{spec.ref} has a module Dense of sentence-transformers with the activation {name}, a residual connection "
            "or another input (config.json in its folder), which a spec cannot say: use a model whose modules Dense "
            f"have one of the activations {', '.join(ACTIVATIONS)} and nothing else."
        )
    return ACTIVATIONS[name]


def _spell(modules: Sequence[tuple[str, str | None]]) -> str:
    return ", ".join(f"{path} ({activation or 'any activation'})" for path, activation in modules) or "none"


def _check_prompts(spec: TextSpec, settings: Mapping[str, Any]) -> None:
    """Raise UserError when the folder has a prompt for a role and the spec has none: another one is a decision."""
    prompts, default = settings.get("prompts"), settings.get("default_prompt_name")
    if not isinstance(prompts, dict):
        return
    for role, names in PROMPT_NAMES.items():
        name = next((name for name in names if prompts.get(name) is not None), default)
        asked = prompts.get(name) if isinstance(name, str) else None
        if asked and not getattr(spec.preprocessing.prompts, role):
            raise UserError(
                f"{spec.ref} has a prompt for each {role} ({name!r} in config_sentence_transformers.json), and its "
                f"spec has none: set preprocessing.prompts.{role} to {str(asked)[:500]!r}."
            )


def read_json(file: Path) -> Any:
    """Return the JSON of a file; an empty object when it is absent, or is not JSON, which the library reports."""
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}

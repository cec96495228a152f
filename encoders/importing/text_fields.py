"""Deciding the fields of a text encoder's spec from the files of its model.

The defaults are those of sentence-transformers, with which most text encoders are used.
"""

import contextlib
from typing import TYPE_CHECKING, Any

from encoders.families.huggingface_text import positions
from encoders.importing.decisions import DEFAULT, Decisions
from encoders.importing.model_card import CARD, ModelCard
from encoders.importing.model_folder import FILE_NAME, ModelFolder
from encoders.importing.options import ImportOptions
from encoders.sentence_modules import PROMPT_NAMES
from rawless.errors import UserError

if TYPE_CHECKING:
    import torch

MODULES, PROMPTS, TOKENIZER = "modules.json", "config_sentence_transformers.json", "tokenizer_config.json"
POOLING = {
    "mean": "mean",
    "cls": "cls",
    "max": "max",
    "lasttoken": "last_token",
    "weightedmean": "weighted_mean",
}
"""The names of pooling in sentence-transformers, and in a spec."""
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""The fields of 1_Pooling/config.json before the field pooling_mode."""
_LIMITS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""The files in which sentence-transformers looks for max_seq_length, in this order."""
_MOST_TOKENS = 8192
_NO_LIMIT = 1 << 20
"""More tokens than any model has positions for; a tokenizer without a limit says a larger number."""
_MATRYOSHKA = ("matryoshka_dimensions", "matryoshka_dims")
_STORED = ("dtype", "torch_dtype")


def decide_text(folder: ModelFolder, options: ImportOptions, decisions: Decisions) -> None:
    """Decide the fields of a text encoder. Raises UserError naming what a spec cannot say."""
    config, card, modules = folder.config(), ModelCard(folder), _modules(folder)
    decisions.decide("weights.files", dict.fromkeys([*folder.weights(), "config.json"]), "the folder")
    decisions.decide("preprocessing.tokenizer", dict.fromkeys(folder.tokenizer_files()), "the folder")
    network = _network(folder)
    _decide_tokens(folder, network, options, decisions)
    _decide_prompts(folder, card, options, decisions)
    _decide_layer(options, decisions)
    _decide_pooling(folder, modules, options, decisions)
    full = _decide_dense(folder, network, modules, decisions)
    _decide_normalisation(modules, decisions)
    _decide_dimension(folder, card, full, options, decisions)
    if (stored := next((config[name] for name in _STORED if name in config), "float32")) != "float32":
        decisions.miss(
            f"The weights are stored as {str(stored)[:16]}; --precision says how they compute.", "config.json"
        )


def _modules(folder: ModelFolder) -> list[tuple[str, str]]:
    """Return the kind and the folder of each module of sentence-transformers; nothing for a plain model."""
    modules = []
    for module in folder.read_list(MODULES):
        kind, path = str(module.get("type")), str(module.get("path") or "").strip("/")
        if not kind.startswith("sentence_transformers."):
            raise UserError(
                f"{folder.source} has the module {ascii(kind)[:80]} ({MODULES}), code of its own, which is never run: "
                "use a model of modules that sentence-transformers contains."
            )
        if path and not FILE_NAME.fullmatch(path):
            raise UserError(f"{MODULES} of {folder.source} names a folder that is not beside it: restore the file.")
        modules.append((kind.rpartition(".")[2][:64], path))
    order = [kind for kind, _ in modules if kind != "Dropout"]  # which does nothing outside of training
    allowed = ["Transformer", "Pooling", *["Dense"] * order.count("Dense"), *["Normalize"] * order.count("Normalize")]
    if modules and order != allowed:
        unknown = next((kind for kind in order if kind not in allowed), None)
        what = f"the module {unknown}" if unknown else f"its modules in the order {', '.join(order)}"
        raise UserError(
            f"{folder.source} has {what} ({MODULES}), which a spec cannot say: use a model of Transformer, Pooling, "
            "Dense and Normalize, in this order."
        )
    if modules and modules[0][1]:
        raise UserError(
            f"{folder.source} has its transformer in the folder {ascii(modules[0][1])[:60]} ({MODULES}), not beside "
            f"{MODULES}: save it once more by SentenceTransformer(FOLDER).save_pretrained(NEW), and import NEW."
        )
    return modules


def _decide_tokens(
    folder: ModelFolder, network: "torch.nn.Module", options: ImportOptions, decisions: Decisions
) -> None:
    tokenizer = folder.read(TOKENIZER)
    if (side := tokenizer.get("padding_side", "right")) != "right":
        decisions.decide("preprocessing.padding", side, TOKENIZER)
    file = next((name for name in _LIMITS if folder.has(name)), _LIMITS[0])
    settings = folder.read(file)
    if settings.get("do_lower_case"):
        raise UserError(
            f"{folder.source} lower-cases texts before its tokenizer ({file}), which a spec cannot say: use a model "
            "whose tokenizer does it."
        )
    if settings.get("transformer_task", "feature-extraction") != "feature-extraction":
        raise UserError(
            f"{folder.source} has the task {ascii(settings['transformer_task'])[:40]} ({file}), which makes no vectors "
            "that a spec can say: use a model for feature-extraction."
        )
    limit = _integer(tokenizer.get("model_max_length")) or _NO_LIMIT
    most = positions(network, limit)
    asked = [
        (options.max_tokens, "--max-tokens"),
        (_integer(settings.get("max_seq_length")), file),
        (limit if limit < _NO_LIMIT else 0, TOKENIZER),
        (most if most < _NO_LIMIT else 0, "config.json"),
        (512, DEFAULT),
    ]
    tokens, origin = next((number, where) for number, where in asked if number)
    most = min(most, _MOST_TOKENS)
    if tokens > most and origin != "--max-tokens":
        decisions.miss(f"It asks for {tokens} tokens, but there are positions for {most}: it gets {most}.", origin)
        tokens = most
    decisions.decide("preprocessing.max_tokens", tokens, origin)


def _network(folder: ModelFolder) -> "torch.nn.Module":
    """Return the network that config.json describes, without values. Raises UserError if the library cannot make it."""
    import torch
    from transformers import AutoModel

    config = folder.library_config()
    try:
        with torch.device("meta"):
            network: torch.nn.Module = AutoModel.from_config(config)
    except Exception as error:  # noqa: BLE001 - each model type has its own errors
        raise UserError(
            f"config.json of {folder.source} makes no model ({type(error).__name__}): restore the file, or use another "
            "version of transformers."
        ) from None
    return network


def _decide_prompts(folder: ModelFolder, card: ModelCard, options: ImportOptions, decisions: Decisions) -> None:
    settings = folder.read(PROMPTS)
    prompts = settings.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(text, str) for text in prompts.values()):
        raise UserError(f"{PROMPTS} of {folder.source} has prompts that are no texts by name: restore the file.")
    fallback = settings.get("default_prompt_name")
    used, texts, origins = set(), {}, set()
    for role, names in PROMPT_NAMES.items():
        present = [name for name in names if name in prompts] or [name for name in prompts if name == fallback]
        # The library saves an empty prompt of documents beside one for passages.
        name = next((name for name in present if prompts[name]), None)
        texts[role] = prompts.get(name, "")
        used.add(name)
        option: str | None = getattr(options, f"prompt_{role}")
        if option is not None:
            texts[role] = option
            origins.add(f"--prompt-{role}")
        elif texts[role]:
            origins.add(PROMPTS)
    if any(texts.values()):
        decisions.decide("preprocessing.prompts", texts, ", ".join(sorted(origins)))
    others = [ascii(name)[1:-1][:40] for name, text in prompts.items() if name not in used and text]
    if others:
        decisions.miss(
            f"It has {len(others)} other prompts ({', '.join(others[:8])}): for one of them, give its text as "
            "--prompt-document or --prompt-query, under another name.",
            PROMPTS,
        )
    if card.prompts and not origins:
        quoted = ", ".join(f"'{prompt}'" for prompt in card.prompts)
        decisions.miss(
            f"It quotes the prompts {quoted}, which no file sets: give those that it asks for as --prompt-document and "
            "--prompt-query.",
            CARD,
        )


def _decide_layer(options: ImportOptions, decisions: Decisions) -> None:
    layer, origin = (-1, DEFAULT) if options.layer is None else (options.layer, "--layer")
    decisions.decide("layer", layer, origin)


def _decide_pooling(
    folder: ModelFolder, modules: list[tuple[str, str]], options: ImportOptions, decisions: Decisions
) -> None:
    path = next((path for kind, path in modules if kind == "Pooling"), "1_Pooling")
    file = f"{path}/config.json"
    pooling, origin = "mean", DEFAULT
    if modules:
        pooling, origin = _pooling(folder, file), file
    if options.pooling is not None:
        if modules and options.pooling != pooling:
            decisions.miss(f"It asks for the pooling {pooling}, against which --pooling was given.", file)
        pooling, origin = options.pooling, "--pooling"
    decisions.decide("pooling", pooling, origin)


def _pooling(folder: ModelFolder, file: str) -> str:
    settings = folder.read(file)
    modes: Any = settings.get("pooling_mode") or [mode for flag, mode in _FLAGS.items() if settings.get(flag)]
    modes = [modes] if isinstance(modes, str) else modes or ["mean"]
    if settings.get("include_prompt") is False:
        raise UserError(
            f"{folder.source} leaves the prompt out of its pooling ({file}), which a spec cannot say: use another "
            "model."
        )
    if len(modes) != 1 or modes[0] not in POOLING:
        raise UserError(
            f"{folder.source} has the pooling {ascii(', '.join(map(str, modes)))[:80]} ({file}), which a spec cannot "
            f"say: it may be one of {', '.join(POOLING)}."
        )
    return POOLING[modes[0]]


def _decide_dense(
    folder: ModelFolder, network: "torch.nn.Module", modules: list[tuple[str, str]], decisions: Decisions
) -> int:
    """Decide the Dense modules, and return the size of the vectors that they produce."""
    size = _integer(getattr(network.config, "hidden_size", 0))
    dense = []
    for kind, path in modules:
        if kind != "Dense":
            continue
        settings = folder.read(f"{path}/config.json")
        decisions.made["weights.files"].value.update(dict.fromkeys(folder.weights(path)))
        activation = str(settings.get("activation_function", "Tanh")).rpartition(".")[2][:64]
        dense.append({"folder": path, "activation": activation.lower()})
        size = _integer(settings.get("out_features"))
    if dense:
        decisions.decide("dense", dense, MODULES)
    if not size:
        raise UserError(f"config.json of {folder.source} does not say the size of its vectors: restore the file.")
    return size


def _decide_normalisation(modules: list[tuple[str, str]], decisions: Decisions) -> None:
    normalises = any(kind == "Normalize" for kind, _ in modules)
    decisions.decide("l2_normalise", normalises, MODULES if modules else DEFAULT)


def _decide_dimension(
    folder: ModelFolder, card: ModelCard, full: int, options: ImportOptions, decisions: Decisions
) -> None:
    files = ("config.json", PROMPTS)
    lists = [(folder.read(file).get(name), file) for file in files for name in _MATRYOSHKA if folder.has(file)]
    listed, file = next(
        ((numbers, file) for numbers, file in lists if isinstance(numbers, list)), (card.matryoshka, CARD)
    )
    wanted = options.dimension or full
    if wanted > full:
        raise UserError(f"--dimension is {wanted}, but the vectors of {folder.source} have {full} values: lower it.")
    if listed and wanted not in listed and wanted != full:
        decisions.miss(f"It was trained for the dimensions {_numbers(listed)}, and not for {wanted}.", file)
    elif len(listed) > 1 and options.dimension is None:
        decisions.miss(f"Its vectors may be cut to {_numbers(listed)} values, by --dimension; here all are kept.", file)
    truncated = _integer(folder.read(PROMPTS).get("truncate_dim"))
    if truncated and options.dimension is None:
        decisions.miss(f"It cuts vectors to {truncated} values; --dimension {truncated} does the same.", PROMPTS)
    origin = "--dimension" if options.dimension else decisions.origin("dense") or "config.json"
    if wanted != full:
        decisions.decide("full_dimension", full, decisions.origin("dense") or "config.json")
    decisions.decide("dimension", wanted, origin)


def _numbers(numbers: list[Any]) -> str:
    return ", ".join(str(_integer(number)) for number in numbers[:12])


def _integer(value: Any) -> int:
    """Return a number of a JSON file as an integer; 0 for anything else."""
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        return 0 if isinstance(value, bool) else int(value)
    return 0

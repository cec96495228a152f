"""Deciding the fields of an image encoder's spec from the files of its model.

Images are decoded as the library loads them: upright by EXIF, and with the colours that transparent pixels hide.
"""

from typing import Any

from encoders.families.huggingface_image import default_pooling, vector_size
from encoders.huggingface_processor import PROCESSOR_FILES, stated_fields
from encoders.image_spec import ImagePreprocessing
from encoders.importing.decisions import DEFAULT, Decisions
from encoders.importing.model_folder import ModelFolder
from encoders.importing.options import ImportOptions
from rawless.errors import UserError

_FOR_TEXTS = ("max_tokens", "prompt_document", "prompt_query")


def decide_image(folder: ModelFolder, options: ImportOptions, decisions: Decisions) -> None:
    """Decide the fields of an image encoder. Raises UserError naming what a spec cannot say."""
    options.refuse("dimension", reason="only the vectors of text encoders can be cut")
    decide_pixels(folder, options, decisions)
    kind = decisions.made["architecture"].value
    layer = -1 if options.layer is None else options.layer
    pooling = default_pooling(kind) if options.pooling is None else options.pooling
    decisions.decide("layer", layer, DEFAULT if options.layer is None else "--layer")
    decisions.decide("pooling", pooling, DEFAULT if options.pooling is None else "--pooling")
    decisions.decide("l2_normalise", False, DEFAULT)
    side = decisions.made["preprocessing.crop"].value
    decisions.decide("dimension", _size(folder, layer, pooling, side), "config.json")


def _size(folder: ModelFolder, layer: int, pooling: Any, side: int) -> int:
    config = folder.library_config()
    try:
        return int(vector_size(config, layer=layer, pooling=pooling, side=side))
    except Exception as error:  # noqa: BLE001 - each model type has its own errors
        raise UserError(
            f"{folder.source} has no vectors of the layer {layer} by the pooling {ascii(pooling)[1:-1][:20]} for "
            f"images of {side} pixels ({type(error).__name__}): give another --layer or --pooling, or restore "
            "config.json."
        ) from None


def decide_pixels(folder: ModelFolder, options: ImportOptions, decisions: Decisions) -> None:
    """Decide the files of the weights, and the preprocessing from the folder's image processor."""
    options.refuse(*_FOR_TEXTS, reason="the encoder takes images")
    decisions.decide("weights.files", dict.fromkeys([*folder.weights(), "config.json"]), "the folder")
    stated = stated_fields(folder.source, folder.path)
    if not stated:
        raise UserError(
            f"{folder.source} has no preprocessor_config.json, so nothing says how its images are resized and "
            "normalised: copy the file there, as AutoImageProcessor.save_pretrained writes it."
        )
    file = next(name for name in PROCESSOR_FILES if folder.has(name))
    fields = {"exif_orientation": "apply", "alpha": "drop"} | stated
    for name in ImagePreprocessing.model_fields:
        if name in fields:
            decisions.decide(f"preprocessing.{name}", _plain(fields[name]), file if name in stated else DEFAULT)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value

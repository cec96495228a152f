"""Deciding the fields of a spec of one tower of a CLIP or SigLIP checkpoint from the files of the checkpoint."""

from encoders.importing.decisions import DEFAULT, Decisions
from encoders.importing.image_fields import decide_pixels
from encoders.importing.model_folder import ModelFolder
from encoders.importing.options import ImportOptions

_SAID_BY_THE_TOWER = ("pooling", "layer", "dimension", "max_tokens", "prompt_document", "prompt_query")


def decide_tower(folder: ModelFolder, options: ImportOptions, decisions: Decisions) -> None:
    """Decide the fields of a tower. Raises UserError naming what a spec cannot say."""
    options.refuse(*_SAID_BY_THE_TOWER, reason="the tower of a checkpoint of images and texts decides it itself")
    config = folder.library_config()
    if decisions.made["modality"].value == "image":
        decide_pixels(folder, options, decisions)
        own = config.vision_config.hidden_size
    else:
        decisions.decide("weights.files", dict.fromkeys([*folder.weights(), "config.json"]), "the folder")
        decisions.decide("preprocessing.tokenizer", dict.fromkeys(folder.tokenizer_files()), "the folder")
        decisions.decide("preprocessing.max_tokens", config.text_config.max_position_embeddings, "config.json")
        own = getattr(config.text_config, "projection_size", None)
    is_clip = decisions.made["architecture"].value == "clip"
    decisions.decide("l2_normalise", True, DEFAULT)  # as the model compares them
    decisions.decide("dimension", config.projection_dim if is_clip else own, "config.json")

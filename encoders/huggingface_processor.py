"""What the image processor of a Hugging Face folder does, in the fields of a spec."""

import math
from pathlib import Path
from typing import Any

from encoders.huggingface_folder import refuse_own_code
from encoders.image_spec import ImageSpec
from rawless.errors import UserError

PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
"""Read to refuse a spec that says otherwise, if they are there; nothing is computed from them, so without digests."""
_PROCESSORS = {
    f"{name}ImageProcessor" for name in ("Beit", "Bit", "CLIP", "ConvNext", "DeiT", "DINOv3ViT", "Siglip", "ViT")
}
"""Those that resize, crop, rescale and normalise, and do nothing else."""
_INTERPOLATIONS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
_WARPED = 384
"""From this side on, ConvNeXt's processor resizes both sides; below, it crops."""


def check_processor(spec: ImageSpec, folder: Path) -> None:
    """Raise UserError naming the first field in which a spec contradicts the image processor of a folder, if any."""
    for name, asked in stated_fields(spec.ref, folder).items():
        said = getattr(spec.preprocessing, name)
        if not _is_equal(said, asked):
            raise UserError(
                f"{spec.ref} says preprocessing.{name} {_shown(said)}, but the image processor of its folder asks for "
                f"{_shown(asked)}: correct the spec."
            )


def stated_fields(ref: str, folder: Path) -> dict[str, Any]:
    """Return the fields of `ImagePreprocessing` that the image processor of a folder states; none without a processor.

    Raises UserError naming what the encoder `ref` would need and a spec cannot say.
    """
    file = next((folder / name for name in PROCESSOR_FILES if (folder / name).is_file()), None)
    if file is None:
        return {}
    try:
        refuse_own_code(ref, folder, [file.name])
        return _fields(_load(folder))
    except _CannotSay as error:
        raise UserError(
            f"{ref} needs an image processor that {error} ({file.name}), which a spec cannot say: use another model, "
            f"or take {file.name} out of the folder if its images are to be prepared as the spec says."
        ) from None
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - the library has many errors for a file that it cannot read
        raise UserError(
            f"{file.name} of {ref} cannot be read as a Hugging Face image processor ({type(error).__name__}): replace "
            "the file, or take it out of the folder."
        ) from None


class _CannotSay(Exception):
    """What an image processor does that a spec cannot say."""


def _load(folder: Path) -> Any:
    from transformers import AutoImageProcessor
    from transformers.utils import logging

    logging.set_verbosity_error()
    return AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _fields(processor: Any) -> dict[str, Any]:
    kind = type(processor).__name__.removesuffix("Pil").removesuffix("Fast")
    if kind not in _PROCESSORS:
        raise _CannotSay(f"is of the kind {kind}")
    if not processor.do_resize:
        raise _CannotSay("does not resize")
    if getattr(processor, "do_pad", None):
        raise _CannotSay("pads images")
    if (interpolation := _INTERPOLATIONS.get(int(processor.resample))) is None:
        raise _CannotSay(f"resizes by the method {int(processor.resample)} of Pillow")
    sizes = _convnext_sizes(processor) if kind == "ConvNextImageProcessor" else _sizes(processor)
    return sizes | {"interpolation": interpolation, "antialias": True} | _normalisation(processor)


def _sizes(processor: Any) -> dict[str, Any]:
    size = processor.size
    if size.shortest_edge and not size.longest_edge:
        fit, resize = "shorter", size.shortest_edge
    elif size.height and size.height == size.width:
        fit, resize = "exact", size.height
    else:
        raise _CannotSay("resizes to other than a square, or one shorter side")
    fields = {"fit": fit, "resize": resize}
    if processor.do_center_crop:
        if processor.crop_size.height != processor.crop_size.width:
            raise _CannotSay("does not crop to a square")
        return fields | {"crop": processor.crop_size.height, "crop_rounding": "down"}
    if fit == "shorter":
        raise _CannotSay("keeps the aspect ratio and does not crop")
    return fields | {"crop": resize}


def _convnext_sizes(processor: Any) -> dict[str, Any]:
    side = processor.size.shortest_edge
    if not side:
        raise _CannotSay("states no shorter side")
    if side >= _WARPED:
        return {"fit": "exact", "resize": side, "crop": side}
    return {"fit": "shorter", "resize": int(side / processor.crop_pct), "crop": side, "crop_rounding": "down"}


def _normalisation(processor: Any) -> dict[str, Any]:
    """Return mean and deviation on the spec's scale, on which 255 is 1, whatever the factor of the processor."""
    unit = 255 * (processor.rescale_factor if processor.do_rescale else 1)
    mean, std = (processor.image_mean, processor.image_std) if processor.do_normalize else (0.0, 1.0)
    return {"mean": _channels(mean, unit), "std": _channels(std, unit)}


def _channels(values: Any, unit: float) -> tuple[float, ...]:
    each = [values] * 3 if isinstance(values, int | float) else values
    return tuple(float(value) / unit for value in each)


def _is_equal(said: Any, asked: Any) -> bool:
    if not isinstance(asked, tuple):
        return bool(said == asked)
    return len(said) == len(asked) and all(
        math.isclose(one, other, abs_tol=1e-6) for one, other in zip(said, asked, strict=True)
    )


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(f'{each:.6g}' for each in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)

"""The vectors that the library of an imported model computes: sentence-transformers for texts, else transformers."""

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from PIL import Image

from encoders.clip import ARCHITECTURES
from encoders.importing.importer import Imported
from encoders.importing.options import ImportOptions
from encoders.importing.text_fields import POOLING
from encoders.spec import EncoderSpec, Vector
from encoders.text_spec import TextSpec
from rawless.errors import Unavailable, UserError

if TYPE_CHECKING:
    import torch

Reference: TypeAlias = Callable[[Sequence[bytes]], Vector]
"""Contents to the library's vectors, of shape (contents, dimension)."""


def library_of(imported: Imported, options: ImportOptions) -> Reference:
    """Return the library's own encoder of the folder that was imported, changed only by what `options` say.

    Raises UserError when the library is not installed, or cannot do what an option says, Unavailable when it fails.
    """
    spec, folder = imported.spec, imported.folder
    if spec.precision != "fp32":
        raise UserError("--compare is for fp32, in which the library computes: leave it out, or import in fp32 first.")
    try:
        if spec.architecture in ARCHITECTURES:
            return _image_tower(folder.path) if spec.modality == "image" else _text_tower(folder.path, spec)
        if spec.modality == "image":
            return _image_model(folder.path, spec)
        return _sentence_transformer(folder.path, spec, options)
    except ImportError as error:
        name = (error.name or "").replace("_", "-")
        raise UserError(f"--compare needs the package {name}: install it with `pip install {name}`.") from None
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - each library has its own errors
        raise Unavailable(
            f"The library of {folder.source} cannot load it ({type(error).__name__}), so there is nothing to compare."
        ) from None


def _sentence_transformer(folder: Path, spec: EncoderSpec, options: ImportOptions) -> Reference:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    if options.layer not in (None, -1):
        raise UserError("--compare is for the last layer, which sentence-transformers reads: leave it out.")
    model = SentenceTransformer(
        str(folder),
        device="cpu",
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"dtype": torch.float32},
    )
    names = {ours: theirs for theirs, ours in POOLING.items()}
    for module in model:
        if options.pooling is not None and isinstance(module, Pooling):
            module.pooling_mode = names[options.pooling]
    if options.max_tokens is not None:
        model.max_seq_length = options.max_tokens

    prompt = spec.preprocessing.prompts.document if isinstance(spec, TextSpec) else ""

    def encode(contents: Sequence[bytes]) -> Vector:
        texts = [content.decode() for content in contents]
        vectors: Vector = model.encode_document(
            texts, prompt=prompt, truncate_dim=options.dimension, show_progress_bar=False
        )
        return vectors

    return encode


def _image_model(folder: Path, spec: EncoderSpec) -> Reference:
    import torch

    processor, model = _processor(folder), _model(folder)
    layer, pooling = (getattr(spec, name) for name in ("layer", "pooling"))

    def encode(contents: Sequence[bytes]) -> Vector:
        with torch.inference_mode():
            pixels = processor(images=_images(contents), return_tensors="pt")["pixel_values"]
            return _pooled(model(pixels, output_hidden_states=True), layer, pooling, _patches(model, pixels)).numpy()

    return encode


def _patches(model: Any, pixels: "torch.Tensor") -> int:
    """Return how many of the last tokens are patches; more than all for a model that has no other tokens."""
    config = model.config
    size = config.patch_size if hasattr(config, "patch_size") else 2 ** (len(config.hidden_sizes) + 1)
    side = size if isinstance(size, int) else size[0]
    return int((pixels.shape[-2] // side) * (pixels.shape[-1] // side))


def _pooled(output: Any, layer: int, pooling: str, patches: int) -> "torch.Tensor":
    import torch

    if pooling == "pooler":
        return output.pooler_output.flatten(1)  # type: ignore[no-any-return]
    states = output.last_hidden_state if layer == -1 else output.hidden_states[layer]
    mean = states.mean((2, 3)) if states.dim() == 4 else states[:, -patches:].mean(1)
    if pooling == "mean":
        return mean  # type: ignore[no-any-return]
    return states[:, 0] if pooling == "cls" else torch.cat([states[:, 0], mean], 1)


def _image_tower(folder: Path) -> Reference:
    import torch

    processor, model = _processor(folder), _model(folder)

    def encode(contents: Sequence[bytes]) -> Vector:
        with torch.inference_mode():
            pixels = processor(images=_images(contents), return_tensors="pt")["pixel_values"]
            vectors: Vector = model.get_image_features(pixels).pooler_output.numpy()
            return vectors

    return encode


def _text_tower(folder: Path, spec: EncoderSpec) -> Reference:
    import torch
    from transformers import AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder, local_files_only=True), _model(folder)
    padding = "max_length" if spec.architecture == "siglip" else True  # SigLIP was trained on texts of one length
    length = model.config.text_config.max_position_embeddings

    def encode(contents: Sequence[bytes]) -> Vector:
        texts = [content.decode() for content in contents]
        tokens = tokenizer(texts, padding=padding, truncation=True, max_length=length, return_tensors="pt")
        if spec.architecture == "siglip":
            tokens = {"input_ids": tokens["input_ids"]}  # without a mask
        with torch.inference_mode():
            vectors: Vector = model.get_text_features(**tokens).pooler_output.numpy()
        return vectors

    return encode


def _processor(folder: Path) -> Any:
    from transformers import AutoImageProcessor

    return AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _model(folder: Path) -> Any:
    import torch
    from transformers import AutoModel

    return AutoModel.from_pretrained(folder, local_files_only=True, trust_remote_code=False, dtype=torch.float32).eval()


def _images(contents: Sequence[bytes]) -> list[Image.Image]:
    from transformers.image_utils import load_image

    return [load_image(Image.open(BytesIO(content))) for content in contents]

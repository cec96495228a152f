"""Saliency: which parts of one image or text an encoder's vector depends on.

It runs where raw content may be read. A map has no content of its own: shares by place in an image, or by the places of
words in a text. Nothing of it is written to the warehouse.

Two methods. Occlusion (Zeiler and Fergus, 2014) hides one part after the other and takes the change of the vector, as 1
minus the cosine. Gradient takes the length of the derivative of the vector by each part of the input, estimated by
random directions of the vector, since there is no class whose score could be derived.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from encoders.batch_encoder import BatchEncoder
from encoders.image_formats.decode import decode_pixels, read_header
from encoders.image_spec import ImagePreprocessing, ImageSpec
from encoders.image_transforms import PixelNormalisation
from encoders.resizing import resized_size
from encoders.text_model import TextModel, Word
from rawless.content import ImageLimits
from rawless.errors import UserError
from rawless.privacy import Raw, Reason, guarded

Method = Literal["occlusion", "gradient"]
T = TypeVar("T")
Heat = npt.NDArray[np.float64]
GRID = 14
"""Parts of an image along each side, in a map."""
_HIDDEN = 2
"""Parts along each side of the square that is hidden at a time; squares overlap."""
_DIRECTIONS = 16
_BATCH = 16
_LIMITS = ImageLimits()


@dataclass(frozen=True)
class ImageSaliency:
    """How much the vector depends on each part of the square that the encoder sees."""

    heat: Heat
    """Of shape (GRID, GRID), between 0 and 1."""
    box: tuple[float, float, float, float]
    """Left, top, right and bottom of that square, as shares of the upright image; the encoder sees nothing else."""
    size: tuple[int, int]
    """Width and height of the upright image in pixels."""


class WordSaliency(NamedTuple):
    """How much the vector depends on one word, which is named by its place only."""

    start: int
    """The first character of the text that belongs to it, from 0."""
    end: int
    """The character after it."""
    share: float
    """Between 0 and 1; 1 for the word that matters most."""


def of_image(encoder: BatchEncoder[Any], item: Raw[bytes], method: Method) -> ImageSaliency:
    """Return the saliency of an image. Raises UserError when the encoder rejects it."""
    return _accepted(encoder, guarded(_of_image, encoder, item, method))


def of_text(encoder: BatchEncoder[Any], item: Raw[bytes], method: Method) -> list[WordSaliency]:
    """Return the saliency of the words of a text, in order. Raises UserError when the encoder rejects it."""
    return _accepted(encoder, guarded(_of_text, encoder, item, method))


def _accepted(encoder: BatchEncoder[Any], outcome: T | Reason) -> T:
    if isinstance(outcome, Reason):
        raise UserError(f"{encoder.spec.ref} rejects the content ({outcome.value}): name another file.")
    return outcome


def _of_image(encoder: BatchEncoder[Any], item: Raw[bytes], method: Method) -> ImageSaliency:
    spec = encoder.spec
    assert isinstance(spec, ImageSpec)  # noqa: S101 - the command checked it
    upright = decode_pixels(read_header(item.reveal(), _LIMITS), spec.preprocessing)
    (pixels,) = encoder.inputs([encoder.model.prepare(item.reveal(), _LIMITS)])
    heat = (
        _hide_squares(encoder, pixels, spec.preprocessing)
        if method == "occlusion"
        else _pixel_gradients(encoder, pixels)
    )
    return ImageSaliency(_scaled(heat), _box(upright.size, spec.preprocessing), upright.size)


def _of_text(encoder: BatchEncoder[Any], item: Raw[bytes], method: Method) -> list[WordSaliency]:
    model, content = encoder.model, item.reveal()
    assert isinstance(model, TextModel)  # noqa: S101 - the command checked it
    prepared, words = model.prepare(content, _LIMITS), model.words(content)
    if method == "occlusion":
        shares = _leave_out_words(encoder, prepared, words)
    else:
        gradients = _token_gradients(encoder, prepared)
        shares = np.array([float(np.sqrt((gradients[list(word.tokens)] ** 2).sum())) for word in words])
    return [
        WordSaliency(word.start, word.end, float(share)) for word, share in zip(words, _scaled(shares), strict=True)
    ]


def _box(size: tuple[int, int], preprocessing: ImagePreprocessing) -> tuple[float, float, float, float]:
    """Return where the crop is in the upright image, as shares of its width and height."""
    sides = resized_size(size, preprocessing)
    left, top = ((side - preprocessing.crop) / 2 / side for side in sides)
    return left, top, 1 - left, 1 - top


def _scaled(heat: Heat) -> Heat:
    lowest, highest = float(heat.min()), float(heat.max())
    return (heat - lowest) / (highest - lowest) if highest > lowest and heat.size > 1 else np.ones_like(heat)


def _hide_squares(encoder: BatchEncoder[Any], pixels: torch.Tensor, preprocessing: ImagePreprocessing) -> Heat:
    """Return the mean change of the vector over the squares that hide a part, for each part of the grid."""
    side = pixels.shape[-1]
    edges = np.linspace(0, side, GRID + 1).round().astype(int)
    mean = torch.tensor(preprocessing.mean).mul(255).round().to(torch.uint8).view(3, 1, 1)
    places = [(row, column) for row in range(1 - _HIDDEN, GRID) for column in range(1 - _HIDDEN, GRID)]

    def hidden(batch: tuple[tuple[int, int], ...]) -> tuple[torch.Tensor, ...]:
        changed = pixels.repeat(len(batch), 1, 1, 1)
        for image, place in zip(changed, batch, strict=True):
            rows, columns = (slice(edges[max(0, at)], edges[min(GRID, at + _HIDDEN)]) for at in place)
            image[:, rows, columns] = mean
        return (changed,)

    heat, counts = np.zeros((GRID, GRID)), np.zeros((GRID, GRID))
    batches = (hidden(tuple(places[start : start + _BATCH])) for start in range(0, len(places), _BATCH))
    for (row, column), change in zip(places, _changes(encoder, (pixels,), batches), strict=True):
        part = np.s_[max(0, row) : row + _HIDDEN, max(0, column) : column + _HIDDEN]
        heat[part] += change
        counts[part] += 1
    return heat / counts


def _leave_out_words(encoder: BatchEncoder[Any], prepared: Any, words: list[Word]) -> Heat:
    """Return the change of the vector when each word is left out."""

    def without(word: Word) -> tuple[torch.Tensor, ...]:
        kept = np.delete(np.arange(prepared.ids.size), word.tokens)
        return encoder.inputs([replace(prepared, ids=prepared.ids[kept], types=prepared.types[kept])])

    return np.array(list(_changes(encoder, encoder.inputs([prepared]), map(without, words))))


def _changes(
    encoder: BatchEncoder[Any], inputs: tuple[torch.Tensor, ...], changed: Iterator[tuple[torch.Tensor, ...]]
) -> Iterator[float]:
    """Yield 1 minus the cosine between the vector of the inputs and each vector of the changed batches of inputs."""
    with torch.inference_mode():
        whole = encoder.network(*inputs).float()
        for batch in changed:
            yield from (1 - functional.cosine_similarity(encoder.network(*batch).float(), whole)).tolist()


def _pixel_gradients(encoder: BatchEncoder[Any], pixels: torch.Tensor) -> Heat:
    gradients = _gradients(encoder, (pixels,), lambda module: isinstance(module, PixelNormalisation))
    squares = functional.adaptive_avg_pool2d((gradients**2).sum(dim=1, keepdim=True), GRID)
    return np.asarray(squares[0, 0].sqrt().double().numpy())


def _token_gradients(encoder: BatchEncoder[Any], prepared: Any) -> Heat:
    """Return the length of the gradient by the embedding of each token."""
    embeddings = [module for module in encoder.network.modules() if isinstance(module, nn.Embedding)]
    words = max(embeddings, key=lambda module: module.num_embeddings, default=None)
    gradients = _gradients(encoder, encoder.inputs([prepared]), lambda module: module is words)
    return np.asarray(gradients[0].norm(dim=-1).double().numpy())


def _gradients(
    encoder: BatchEncoder[Any], inputs: tuple[torch.Tensor, ...], is_input: Callable[[nn.Module], bool]
) -> torch.Tensor:
    """Return the root of the mean square of the derivatives of random directions of the vector, of shape (1, ...).

    The derivatives are those by the output of the module for which `is_input` is true.
    """
    module = next((each for each in encoder.network.modules() if is_input(each)), None)
    if module is None:
        raise UserError(f"The gradients of {encoder.spec.ref} cannot be computed: use --method occlusion.")
    outputs: list[torch.Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        outputs.append(output.detach().requires_grad_())
        return outputs[-1]

    hook = module.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            vector = encoder.network(*inputs)[0].float()
            draws = torch.randn(_DIRECTIONS, len(vector), generator=torch.Generator().manual_seed(0))
            squares = torch.zeros_like(outputs[0])
            for draw in draws:
                (gradient,) = torch.autograd.grad((vector * draw).sum(), outputs[0], retain_graph=True)
                squares += gradient**2
    finally:
        hook.remove()
    return (squares / _DIRECTIONS).sqrt().detach()

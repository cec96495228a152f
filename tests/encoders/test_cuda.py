"""What the runtime on CUDA does to a network and its batches, as far as a CPU can show it."""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from PIL import Image

from encoders.encoder import Encoded
from encoders.families import family_of
from encoders.load import load
from encoders.precision import LOWEST_TOLERANCE, Precision
from encoders.runtimes import PARITY_BATCHES, check_parity
from encoders.runtimes.cuda import GRAPH_SIZES, graph_size, has_one_shape, optimised
from encoders.runtimes.eager import Eager
from encoders.seal import seal
from encoders.spec import EncoderSpec, Vector
from rawless.errors import UserError
from rawless.privacy import Raw
from tests.encoders.image_files import saved

CPU = torch.device("cpu")
PRECISIONS: list[Precision] = ["fp32", "tf32", "bf16", "fp16"]
MakeSpec = Callable[..., EncoderSpec]


@pytest.fixture
def image_contents(make_image: Callable[..., Image.Image]) -> list[bytes]:
    """More images than one batch on CUDA holds."""
    return [saved(make_image(60 + number % 40, 80), "PNG") for number in range(150)]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_optimised_network_has_the_vectors_of_the_reference(image_spec: MakeSpec, precision: Precision) -> None:
    spec = image_spec(l2_normalise=True)
    model = family_of(spec).load_model(spec, cuda=False)
    reference = Eager(copy.deepcopy(model.network).eval(), CPU, precision)

    runtime = Eager(optimised(model.network, precision), CPU, precision)

    for inputs in model.examples():
        found, expected = runtime(*inputs), reference(*inputs)
        assert np.abs(found - expected).max() <= max(1e-6, LOWEST_TOLERANCE[precision])


@pytest.mark.parametrize(("items", "size"), [(1, 1), (2, 2), (3, 4), (8, 8), (9, 16), (33, 64), (64, 64), (65, None)])
def test_a_batch_runs_in_the_smallest_graph_that_holds_it(items: int, size: int | None) -> None:
    assert graph_size(items) == size
    assert set(PARITY_BATCHES) <= set(GRAPH_SIZES)


def test_only_items_of_one_shape_run_in_graphs(image_spec: MakeSpec, tiny_spec: MakeSpec) -> None:
    images, texts = (family_of(spec).load_model(spec, cuda=False) for spec in (image_spec(), tiny_spec()))

    assert has_one_shape(images.examples())
    assert not has_one_shape(texts.examples())


class Doubled:
    """A runtime that produces other vectors in batches of one size."""

    name = "doubled"

    def __init__(self, size: int) -> None:
        self._size = size

    def __call__(self, *inputs: torch.Tensor) -> Vector:
        vectors: Vector = inputs[0].float().numpy()
        return vectors + np.float32(1e-3) if len(vectors) == self._size else vectors


@pytest.mark.parametrize("size", PARITY_BATCHES)
def test_a_runtime_that_differs_in_batches_of_one_size_is_refused(size: int) -> None:
    examples = [(torch.rand(5, 16),)]  # no batch of the reference has a size that differs

    check_parity(Doubled(0), Doubled(0), examples, 1e-5, 0.99999)
    with pytest.raises(UserError, match=f"In batches of {size} the encoder produces other vectors .* use --device cpu"):
        check_parity(Doubled(size), Doubled(0), examples, 1e-5, 0.99999)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", ["image", "text"])
def test_an_encoder_on_cuda_produces_the_vectors_of_the_cpu_in_each_precision(
    precision: Precision, kind: str, image_spec: MakeSpec, tiny_spec: MakeSpec, image_contents: Sequence[bytes]
) -> None:
    make = image_spec if kind == "image" else tiny_spec
    spec = seal(make(precision=precision, tolerance=8 * LOWEST_TOLERANCE[precision] or 1e-5, l2_normalise=True))
    contents = image_contents if kind == "image" else [f"cat {'dog ' * (each % 9)}".encode() for each in range(150)]
    items = [Raw(content) for content in contents]

    for here, there in zip(load(spec, "cpu").encode(items), load(spec, "cuda").encode(items), strict=True):
        assert isinstance(here, Encoded)
        assert isinstance(there, Encoded)
        assert np.abs(here.vector - there.vector).max() <= spec.tolerance

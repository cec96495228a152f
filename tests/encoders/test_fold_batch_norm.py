"""Folding batch normalisation leaves the vectors within the tolerance, and only what follows a convolution alone."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from encoders.families import family_of
from encoders.runtimes.fold_batch_norm import fold_batch_norm
from encoders.spec import EncoderSpec


def normalisations(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize(
    ("layer", "pooling", "dimension"),
    [("layer4", "average", 512), ("layer2.0.conv2", "max", 128), ("layer2.0.bn1", "average", 128)],
)
def test_a_resnet_without_its_normalisations_has_the_same_vectors(
    image_spec: Callable[..., EncoderSpec], layer: str, pooling: str, dimension: int
) -> None:
    spec = image_spec(layer=layer, pooling=pooling, dimension=dimension, l2_normalise=True)
    model = family_of(spec).load_model(spec, cuda=False)
    folded = copy.deepcopy(model.network).eval()

    fold_batch_norm(folded)

    assert normalisations(model.network) > 5
    assert normalisations(folded) == 0
    with torch.inference_mode():
        for inputs in model.examples():
            assert float((folded(*inputs) - model.network(*inputs)).abs().max()) < 1e-6


class Shared(nn.Module):
    """A convolution whose output is used beside its normalisation, and one that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.one, self.other = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        convolved = self.first(images)
        return self.one(convolved) + convolved + self.other(self.twice(self.twice(images)))


def test_a_convolution_that_is_used_elsewhere_is_left_as_it_is() -> None:
    network, images = nn.Sequential(torch.fx.symbolic_trace(Shared())).eval(), torch.rand(2, 3, 4, 4)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
    expected = network(images)

    fold_batch_norm(network)

    assert normalisations(network) == 2
    assert torch.equal(network(images), expected)

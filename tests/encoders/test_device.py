"""Encoders produce the same vectors on every device."""

import numpy as np
import pytest
import torch

from encoders.catalogue import lookup
from encoders.device import pick_device
from encoders.encoder import Encoded, Encoder
from encoders.load import load
from rawless.errors import UserError
from rawless.privacy import Raw


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")
def test_cuda_produces_the_vectors_of_the_cpu(minilm: Encoder) -> None:
    items = [Raw(f"Text {number}. {'word ' * (number * 7 % 300)}".encode()) for number in range(200)]

    pairs = zip(minilm.encode(items), load(lookup("minilm@1.0.0"), "cuda").encode(items), strict=True)

    for here, there in pairs:
        assert isinstance(here, Encoded)
        assert isinstance(there, Encoded)
        assert np.abs(here.vector - there.vector).max() <= minilm.spec.tolerance


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_is_refused_where_there_is_none_and_auto_takes_the_cpu() -> None:
    assert pick_device("auto").type == "cpu"
    with pytest.raises(UserError, match="--device is cuda, but torch finds no CUDA device"):
        pick_device("cuda")

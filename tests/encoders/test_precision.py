"""Encoders compute in the precision of their spec, each within a tolerance that it can hold."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from encoders.encoder import Encoded
from encoders.load import build, load
from encoders.precision import LOWEST_TOLERANCE, Precision
from encoders.probe import deviation
from encoders.seal import seal
from encoders.spec import EncoderSpec, Vector
from rawless.errors import UserError
from rawless.privacy import Raw
from tests.encoders.image_files import saved

CPU = torch.device("cpu")
MakeSpec = Callable[..., EncoderSpec]
OTHERS: list[Precision] = ["tf32", "bf16", "fp16"]


def vectors(encoder: Any, contents: list[bytes]) -> Vector:
    outcomes = encoder.encode([Raw(content) for content in contents])
    assert all(isinstance(outcome, Encoded) for outcome in outcomes)
    return np.stack([outcome.vector for outcome in outcomes])


@pytest.fixture(params=["image", "text"])
def spec_in(request: pytest.FixtureRequest, image_spec: MakeSpec, tiny_spec: MakeSpec) -> MakeSpec:
    """Makes specs of a small encoder of images, and of one of texts, that differ in their precision."""
    make = image_spec if request.param == "image" else tiny_spec

    def in_precision(precision: Precision) -> EncoderSpec:
        tolerance = LOWEST_TOLERANCE[precision] or 1e-5
        if request.param == "text":  # 16 large weights for a component, and components of a quarter
            tolerance *= 8
        return make(precision=precision, tolerance=tolerance, l2_normalise=True)

    return in_precision


@pytest.fixture
def contents(spec_in: MakeSpec, make_image: Callable[..., Image.Image]) -> list[bytes]:
    """Items of different sizes."""
    if spec_in("fp32").modality == "text":
        return [b"cat", b"where is my parcel", b"cat dog bird " * 20]
    return [saved(make_image(*size), "PNG") for size in ((64, 64), (90, 31), (8, 200))]


@pytest.mark.parametrize("precision", OTHERS)
def test_vectors_stay_within_the_tolerance_of_the_precision_and_leave_as_float32(
    precision: Precision, spec_in: MakeSpec, contents: list[bytes]
) -> None:
    spec = spec_in(precision)
    exact, rounded = build(spec_in("fp32"), CPU), build(spec, CPU)

    expected, found = vectors(exact, contents), vectors(rounded, contents)

    assert found.dtype == np.float32
    assert np.abs(np.linalg.norm(found, axis=1) - 1).max() < 1e-6
    difference = float(np.abs(found - expected).max())
    assert difference <= spec.tolerance
    assert (difference < 1e-6) is (precision == "tf32")  # which a CPU computes in fp32


def test_each_precision_is_another_fingerprint_and_loads_from_its_sealed_spec(tiny_spec: MakeSpec) -> None:
    tolerance = 8 * LOWEST_TOLERANCE["bf16"]
    precisions: list[Precision] = ["fp32", *OTHERS]
    sealed = {precision: seal(tiny_spec(precision=precision, tolerance=tolerance)) for precision in precisions}
    assert len({spec.fingerprint for spec in sealed.values()}) == 4

    for precision, spec in sealed.items():
        encoder = load(spec, "cpu")
        assert encoder.runtime.startswith("OpenVINO" if precision in ("fp32", "tf32") else "torch")
        assert deviation(encoder) <= spec.tolerance


@pytest.mark.parametrize(("precision", "lowest"), [("tf32", "0.0005"), ("bf16", "0.004"), ("fp16", "0.0005")])
def test_a_tolerance_that_the_precision_cannot_hold_is_refused_with_the_value_to_use(
    precision: str, lowest: str, image_spec: MakeSpec
) -> None:
    with pytest.raises(ValueError, match=f"tolerance is 1e-05, but {precision} .* use {lowest} or more"):
        image_spec(precision=precision, tolerance=1e-5)


def test_a_precision_that_the_processor_lacks_is_refused_by_name(
    image_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    convolve = torch.nn.Conv2d.forward

    def lacking(self: torch.nn.Conv2d, images: torch.Tensor) -> torch.Tensor:
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("\"slow_conv2d_cpu\" not implemented for 'Half'")
        return convolve(self, images)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", lacking)
    with pytest.raises(UserError, match=r"small@1\.0\.0 computes in fp16, which torch cannot do .* use --device cuda"):
        seal(image_spec(precision="fp16", tolerance=1e-3))

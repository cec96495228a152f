"""Images are decoded in child processes: with the same outcomes, and faults that cost one item."""

import ast
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from encoders import isolation, nvjpeg
from encoders.batch_encoder import BatchEncoder
from encoders.encoder import Encoded
from encoders.image_model import ImageModel, prepare
from encoders.image_spec import ImagePreprocessing
from encoders.isolation import images
from encoders.isolation import pool as pool_module
from encoders.isolation.pool import Pool, Request
from encoders.load import build
from encoders.pixels import decoding, read_pixels
from encoders.spec import EncoderSpec
from rawless.content import IMAGE_FORMATS, ImageLimits
from rawless.errors import Unavailable
from rawless.privacy import Raw, Reason, Rejected
from rawless.privacy.pseudonyms import KEY_VARIABLE
from tests.encoders.conftest import PREPROCESSING
from tests.encoders.image_files import saved
from tests.encoders.planted_decoder import FAULTS, ROOT, children, file_of, planted
from tests.measured import measured

HOW = ImagePreprocessing.model_validate(PREPROCESSING)
OTHERS = (
    HOW,
    HOW.model_copy(update={"antialias": False}),
    HOW.model_copy(update={"interpolation": "lanczos", "resize": 99, "crop_rounding": "down"}),
    HOW.model_copy(update={"resize": 4096}),
)
LIMITS = ImageLimits(formats=IMAGE_FORMATS, max_side=20_000)


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """Children with a decoder that has planted faults."""
    with planted(monkeypatch) as children:
        yield children


@pytest.fixture
def good(make_image: Callable[..., Image.Image]) -> bytes:
    """A file that can be decoded."""
    return saved(make_image(90, 70), "PNG")


def read(content: bytes) -> Any:
    """Return the pixels of an image from a child, as bytes, or the reason for its rejection."""
    return outcomes(isolation.read_pixels, content, HOW)


def outcomes(reads: Callable[..., Any], content: bytes, *how: ImagePreprocessing) -> Any:
    try:
        found = reads(content, how, LIMITS)
    except Rejected as rejected:
        return rejected.reason
    return [each if isinstance(each, Reason) else (each.shape, each.tobytes()) for each in found]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "strip", "cut", ""])
def test_children_return_the_pixels_and_reasons_of_this_process(
    make_image: Callable[..., Image.Image], kind: str
) -> None:
    content = b"no image"
    if kind == "strip":
        content = saved(make_image(18_000, 2), "PNG")
    elif kind:
        content = saved(make_image(301, 217), "PNG" if kind == "cut" else kind)[: 999 if kind == "cut" else None]

    found = outcomes(isolation.read_pixels, content, *OTHERS)

    assert found == outcomes(read_pixels, content, *OTHERS)
    assert isinstance(found, Reason) == (kind in ("cut", ""))


def test_an_isolated_encoder_has_the_same_vectors(
    image_sealed: EncoderSpec, good: bytes, make_image: Callable[..., Image.Image]
) -> None:
    items = [good, saved(make_image(640, 480), "JPEG"), b"no image"]
    isolated = build(image_sealed, torch.device("cpu"))
    isolated.isolate()
    before = isolation.counts()

    found = [vectors(each, items) for each in (isolated, build(image_sealed, torch.device("cpu")))]

    assert found[0] == found[1]
    after = isolation.counts()
    assert (after.items - before.items, after.died, after.crashed) == (3, before.died, before.crashed)
    assert after.seconds > before.seconds


def vectors(encoder: BatchEncoder[Any], items: list[bytes]) -> list[object]:
    found = [encoder.encode([Raw(item)])[0] for item in items]
    return [each.vector.tobytes() if isinstance(each, Encoded) else each for each in found]


def test_only_the_jpegs_that_nvjpeg_takes_are_decoded_in_the_process(
    monkeypatch: pytest.MonkeyPatch, make_image: Callable[..., Image.Image]
) -> None:
    on_device = np.zeros((64, 64, 3), np.uint8)
    monkeypatch.setattr(nvjpeg, "decode_and_resize", lambda image, preprocessing: on_device)
    model = ImageModel(torch.nn.Identity, HOW.model_copy(update={"decoder": "nvjpeg"}), cuda=False)
    model.isolate()
    before = isolation.counts().items
    assert model.prepare(saved(make_image(90, 70), "JPEG"), LIMITS) is on_device
    assert isolation.counts().items == before
    for other in (saved(make_image(90, 70).convert("CMYK"), "JPEG"), saved(make_image(90, 70), "PNG")):
        assert model.prepare(other, LIMITS).tolist() == prepare(other, HOW, LIMITS).tolist()
    assert isolation.counts().items == before + 2


def test_a_child_asks_before_it_decodes_a_large_image(
    monkeypatch: pytest.MonkeyPatch, make_image: Callable[..., Image.Image]
) -> None:
    reserved: list[int] = []

    def reserve(pixels: int) -> AbstractContextManager[None]:
        reserved.append(pixels)
        return nullcontext()

    pool = Pool("encoders.child.images:read", reserve, size=1)
    monkeypatch.setattr(images, "POOL", pool)
    for size in ((90, 70), (2000, 1200)):
        content = saved(make_image(*size), "PNG")
        assert read(content) == outcomes(read_pixels, content, HOW)
    pool.close()
    assert reserved == [2000 * 1200]


@pytest.mark.parametrize(("fault", "reason"), FAULTS.items())
def test_a_fault_of_a_decoder_costs_one_item(
    monkeypatch: pytest.MonkeyPatch, good: bytes, capfd: pytest.CaptureFixture[str], fault: str, reason: Reason
) -> None:
    deaths, decoded = measured_deaths(), measured("rawless_decode_seconds_count")
    with planted(monkeypatch, seconds=0.3 if fault == "hangs" else 300) as pool:
        expected = outcomes(read_pixels, good, HOW)
        with ThreadPoolExecutor(3) as threads:
            bad = threads.submit(read, good + fault.encode())
            neighbours = [threads.submit(read, good) for _ in range(6)]
            assert [each.result(60) for each in neighbours] == [expected] * 6
        assert bad.result(60) is reason
        assert read(good) == expected
        counts = pool.counts()
        assert (counts.crashed, counts.timed_out) == ((1, 0) if reason is Reason.DECODER_CRASHED else (0, 1))
        assert counts.died == (2 if reason is Reason.DECODER_CRASHED else 1)
        assert counts.items == 7
        assert measured("rawless_decode_seconds_count") - decoded == 7
        assert measured_deaths() - deaths == {("crashed" if counts.crashed else "timed_out"): counts.died}
    assert capfd.readouterr() == ("", "")


def measured_deaths() -> Counter[str]:
    return Counter(
        {each: int(measured("rawless_decoder_deaths_total", cause=each)) for each in ("crashed", "killed", "timed_out")}
    )


def test_an_exception_of_a_decoder_is_the_items_and_its_child_goes_on(pool: Pool, good: bytes) -> None:
    assert read(good + b"raises") is Reason.INTERNAL
    assert read(good + b"writes") is Reason.INTERNAL
    assert not Path("/tmp/rawless-planted").exists() or not Path("/tmp/rawless-planted").stat().st_size
    assert read(good) == outcomes(read_pixels, good, HOW)
    assert (pool.counts().started, pool.counts().died) == (1, 0)


def test_a_child_that_is_killed_from_outside_costs_no_item(pool: Pool, good: bytes) -> None:
    expected = outcomes(read_pixels, good, HOW)
    assert [read(good), read(good)] == [expected] * 2
    with ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            reading = [threads.submit(read, good) for _ in range(8)]
            for pid in children():
                os.kill(pid, signal.SIGKILL)
            assert [each.result(60) for each in reading] == [expected] * 8
    assert pool.counts().died > 1
    assert pool.counts().crashed == 0


def test_an_item_that_gets_every_child_killed_is_rejected(pool: Pool, good: bytes) -> None:
    assert read(good + b"killed") is Reason.DECODER_CRASHED
    assert pool.counts().died == 5


def test_children_inherit_no_secret_and_no_file_and_may_write_none(
    monkeypatch: pytest.MonkeyPatch, pool: Pool, good: bytes, tmp_path: Path
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    with (tmp_path / "open").open("wb") as file:
        os.set_inheritable(file.fileno(), True)
        (found,) = pool.prepare(Request(b"", b"tells", 0, [100_000]))
    assert isinstance(found, np.ndarray)
    environment, files, limits = ast.literal_eval(found.tobytes().decode())
    assert KEY_VARIABLE not in environment
    assert not any("secret" in value for value in environment.values())
    assert len(files) == 6  # input and outputs, the link, the limits, and the listing itself
    assert limits == (0, 0, "1")


def test_children_that_are_killed_while_they_start_cost_no_item(
    monkeypatch: pytest.MonkeyPatch, pool: Pool, good: bytes
) -> None:
    killed: list[object] = []
    is_ready = pool_module._Child.is_ready

    def kill_first(child: Any) -> bool:
        if len(killed) < 4:
            killed.append(child._process.kill())
        return is_ready(child)

    monkeypatch.setattr(pool_module._Child, "is_ready", kill_first)
    assert read(good) == outcomes(read_pixels, good, HOW)
    assert len(killed) == 4


def test_a_process_that_may_open_no_more_files_rejects_nothing(monkeypatch: pytest.MonkeyPatch, good: bytes) -> None:
    def refuse() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(images, "POOL", Pool("encoders.child.images:read", decoding.acquire))
    monkeypatch.setattr(socket, "socketpair", refuse)
    with pytest.raises(Unavailable, match=r"^This machine refuses to start a process"):
        read(good)


def test_items_wait_no_longer_where_no_child_can_be_started(monkeypatch: pytest.MonkeyPatch, good: bytes) -> None:
    monkeypatch.setattr("encoders.isolation.pool._STARTS", 1)
    pool = Pool("encoders.no_such_module:decode", decoding.acquire)
    monkeypatch.setattr(images, "POOL", pool)
    with pytest.raises(Unavailable, match="can be started"):
        read(good)


PROGRAM = """
import sys
from contextlib import nullcontext
from threading import Thread
from encoders.isolation.pool import Pool, Request
from tests.encoders.planted_decoder import children
from tests.measured import measured
pool = Pool("tests.encoders.planted_decoder:decode", lambda pixels: nullcontext(), size=2, cpu_seconds=60)
(found,) = pool.prepare(Request(b"", b"tells", 0, [100_000]))
Thread(target=pool.prepare, args=(Request(b"", b"loops", 0, [1]),), daemon=True).start()
while pool._idle:
    pass
(found,) = pool.prepare(Request(b"", b"tells", 0, [100_000]))
print(*children(), flush=True)
"""


@pytest.mark.parametrize("ends", ["by itself", "killed"])
def test_children_end_with_their_process_whatever_they_do(ends: str) -> None:
    program = PROGRAM + ("" if ends == "by itself" else "sys.stdin.read()")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    pids = [int(pid) for pid in process.stdout.readline().split()]
    if ends == "killed":
        process.kill()
    process.communicate()
    assert len(pids) == 2
    deadline = time.monotonic() + 30
    while any(b"encoders.child" in file_of(pid, "cmdline") for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_children_load_no_network_library() -> None:
    program = """
import sys, encoders.child.__main__, encoders.child.images
print({'torch', 'pydantic', 'PIL'} & sys.modules.keys())
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout.strip() == b"{'PIL'}"

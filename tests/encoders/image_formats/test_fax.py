"""CCITT faxes: rows that their codes do not make never show what was in memory."""

import numpy as np
import pytest
from PIL import Image

from encoders.image_formats import fax, strip
from encoders.image_formats.tiff import Directory
from rawless.privacy import Reason, Rejected
from tests.encoders.decoding import decoded
from tests.encoders.image_files import noise, saved

SIZE = (200, 90)
COMPRESSIONS = ["tiff_ccitt", "group3", "group4"]


def outcome(content: bytes) -> np.ndarray | Reason:
    """Return the pixels of an image, or the reason for its rejection."""
    try:
        return decoded(content)
    except Rejected as rejected:
        return rejected.reason


def shortened(content: bytes, length: int) -> bytes:
    """Return a fax of one strip, whose codes are zeros after some bytes, which are no code."""
    page = Directory(content)
    start, whole = page.number(273, 0), page.number(279, 0)
    return content[: start + length] + bytes(whole - length) + content[start + whole :]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_an_intact_fax_has_its_pixels(compression: str) -> None:
    content = saved(noise("1", SIZE), "TIFF", compression=compression, strip_size=500)
    assert np.array_equal(outcome(content), np.asarray(noise("1", SIZE).convert("RGB")))


def test_codes_that_do_not_make_all_rows_are_undecodable(capfd: pytest.CaptureFixture[str]) -> None:
    content = saved(noise("1", SIZE), "TIFF", compression="group4", strip_size=1 << 20)
    length = Directory(content).number(279, 0)
    found = [outcome(shortened(content, share * length // 8)) for share in range(1, 8)]
    assert found == [Reason.UNDECODABLE_IMAGE] * 7
    assert capfd.readouterr() == ("", "")  # nothing about the pixels


def test_one_damaged_strip_of_several_is_found() -> None:
    content = saved(noise("1", SIZE), "TIFF", compression="group4", strip_size=25 * 20)
    page = Directory(content)
    starts, lengths = page.numbers(273), page.numbers(279)
    assert len(starts) == 5
    for start, length in zip(starts, lengths, strict=True):
        damaged = content[: start + length // 2] + bytes(length - length // 2) + content[start + length :]
        assert outcome(damaged) is Reason.UNDECODABLE_IMAGE


def test_no_fax_is_decoded_where_the_check_would_find_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # As if Pillow used another buffer for each strip.
    content = strip(saved(noise("1"), "TIFF", compression="group4"), "tiff")
    fax.check(content)
    monkeypatch.setattr(fax, "_shows_memory", lambda *_: False)
    fax._is_buffer_shared.cache_clear()
    with pytest.raises(Rejected, match="unsupported_image_format"):
        fax.check(content)
    fax._is_buffer_shared.cache_clear()


def test_a_fax_of_tiles_or_several_bits_is_unsupported() -> None:
    content = saved(Image.new("1", (16, 16)), "TIFF", compression="group4")
    for tag, other in ((258, 2), (262, 3)):  # bits of a sample, and a palette
        at = content.index(tag.to_bytes(2, "little") + b"\3\0\1\0\0\0") + 8
        assert outcome(content[:at] + bytes([other]) + content[at + 1 :]) is Reason.UNSUPPORTED_IMAGE_FORMAT

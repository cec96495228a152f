"""The refusing coder: writing raw content to a shuffle, state or a sample fails."""

from typing import Any

import cloudpickle
import pytest
from apache_beam import coders
from apache_beam.coders.coder_impl import create_OutputStream
from apache_beam.transforms.window import GlobalWindows

from rawless.privacy import Raw
from rawless.privacy.coder import RefusingCoder

MARKER = b"my card ends in 4711"


@pytest.mark.parametrize("value", [Raw(MARKER), MARKER, None, ("key", Raw(MARKER))])
def test_the_coder_refuses_to_encode(value: Any) -> None:
    with pytest.raises(TypeError, match="refuses to be encoded") as refused:
        RefusingCoder().encode(value)
    assert MARKER.decode() not in str(refused.value)


def test_the_coder_refuses_to_decode() -> None:
    with pytest.raises(TypeError, match="refuses to be decoded") as refused:
        RefusingCoder().decode(MARKER)
    assert MARKER.decode() not in str(refused.value)


@pytest.mark.parametrize("nested", [False, True])
def test_the_implementation_that_workers_use_refuses_too(nested: bool) -> None:
    implementation = RefusingCoder().get_impl()
    stream = create_OutputStream()
    with pytest.raises(TypeError, match="refuses to be encoded"):
        implementation.encode_to_stream(Raw(MARKER), stream, nested)
    assert stream.get() == b""


@pytest.mark.parametrize(
    ("coder", "value"),
    [
        (coders.IterableCoder(RefusingCoder()), [Raw(MARKER)]),
        (coders.TupleCoder([coders.StrUtf8Coder(), RefusingCoder()]), ("key", Raw(MARKER))),
        (coders.NullableCoder(RefusingCoder()), Raw(MARKER)),
        (coders.WindowedValueCoder(RefusingCoder()), None),
    ],
)
def test_a_coder_that_wraps_it_refuses_too(coder: coders.Coder, value: Any) -> None:
    value = GlobalWindows.windowed_value(Raw(MARKER)) if value is None else value
    with pytest.raises(TypeError, match="refuses to be encoded"):
        coder.encode(value)


def test_the_estimated_size_is_the_same_for_every_content() -> None:
    contents = [Raw(b""), Raw(MARKER), Raw(MARKER * 10_000), None]
    assert {RefusingCoder().estimate_size(content) for content in contents} == {1}
    implementation = RefusingCoder().get_impl()
    assert len({str(implementation.get_estimated_size_and_observables(content)) for content in contents}) == 1


def test_the_coder_itself_can_be_pickled() -> None:
    there = cloudpickle.loads(cloudpickle.dumps(RefusingCoder()))
    with pytest.raises(TypeError, match="refuses to be encoded"):
        there.encode(Raw(MARKER))

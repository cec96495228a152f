"""The boundary: results, closed reasons and `Unavailable` leave it, and no content with them."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawless import privacy
from rawless.errors import RawlessError, Unavailable, UserError
from rawless.privacy import Raw, Reason, Rejected, guarded

MARKER = "my card ends in 4711"

REASONS_OF_THE_DESIGN = {
    *("missing_event_id", "bad_event_id", "bad_occurred_at", "missing_subject", "unknown_stream", "wrong_modality"),
    *(
        "empty_payload",
        "payload_too_large",
        "object_not_found",
        "object_unreadable",
        "payload_uri_forbidden",
        "undecodable_image",
    ),
    *("unsupported_image_format", "too_many_pixels", "empty_text", "invalid_utf8", "forbidden_characters"),
    *("missing_part", "decoder_crashed", "decoder_timeout"),
    *("malformed_event", "encoder_failed", "non_finite_embedding", "worker_crashed", "row_refused", "internal"),
}


class Panic(BaseException):
    """Like the panic of a Rust extension (tokenizers, safetensors): no `Exception`, and its text quotes the input."""


def _raising(error: BaseException) -> Callable[[Raw[str]], NoReturn]:
    def step(raw: Raw[str]) -> NoReturn:
        content = raw.reveal()
        try:
            raise ValueError(f"cannot decode {content}")
        except ValueError as first:
            raise error from first

    return step


def _frames(error: BaseException) -> Iterator[FrameType]:
    trace = error.__traceback__
    while trace:
        yield trace.tb_frame
        trace = trace.tb_next


def _inside(error: BaseException) -> str:
    """Return all that an error report could show: text, arguments, chain, and the locals of Rawless's frames."""
    texts = [repr(error), str(error), repr(error.args), repr(vars(error)), repr(getattr(error, "__notes__", ""))]
    room = Path(privacy.__file__).parent
    ours = (frame for frame in _frames(error) if Path(frame.f_code.co_filename).parent == room)
    texts.extend(repr(frame.f_locals) for frame in ours)
    return "\n".join(texts)


def test_a_result_passes_through() -> None:
    result = object()
    assert guarded(lambda: result) is result
    assert guarded(lambda: None) is None


def test_arguments_reach_the_step() -> None:
    assert guarded(lambda a, *, b: (a, b), 1, b=2) == (1, 2)


@pytest.mark.parametrize("reason", Reason)
def test_a_rejection_is_returned_as_its_reason(reason: Reason) -> None:
    assert guarded(_raising(Rejected(reason)), Raw(MARKER)) is reason


@pytest.mark.parametrize(
    "error",
    [
        ValueError(MARKER),
        UnicodeDecodeError("utf-8", MARKER.encode(), 0, 1, MARKER),
        RecursionError(MARKER),
        OSError(5, MARKER),
        StopIteration(MARKER),
        AssertionError(MARKER),
        UserError(MARKER),
        RawlessError(MARKER),
        ExceptionGroup(MARKER, [ValueError(MARKER)]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_other_exception_is_returned_as_internal(error: Exception) -> None:
    assert guarded(_raising(error), Raw(MARKER)) is Reason.INTERNAL


def test_a_panic_of_a_native_library_does_not_cross_the_boundary() -> None:
    assert (
        guarded(_raising(Panic(f"byte index 5 is not a char boundary of `{MARKER}`")), Raw(MARKER)) is Reason.INTERNAL
    )


@given(st.text(), st.sampled_from([ValueError, KeyError, TypeError, RuntimeError, LookupError]))
def test_no_exception_changes_the_reason_by_its_text(text: str, kind: type[Exception]) -> None:
    assert guarded(_raising(kind(text)), Raw(text)) is Reason.INTERNAL


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_request_to_stop_is_raised(error: type[BaseException]) -> None:
    with pytest.raises(error):
        guarded(_raising(error()), Raw(MARKER))


def test_out_of_memory_is_raised_as_unavailable_with_what_to_do() -> None:
    with pytest.raises(Unavailable, match="ran out of memory; give it more, or lower") as raised:
        guarded(_raising(MemoryError(MARKER)), Raw(MARKER))
    assert MARKER not in str(raised.value)


def test_unavailable_keeps_its_message() -> None:
    with pytest.raises(Unavailable) as raised:
        guarded(_raising(Unavailable("The warehouse stayed away.")), Raw(MARKER))
    assert raised.value.args == ("The warehouse stayed away.",)


@pytest.mark.parametrize(
    "error", [MemoryError(MARKER), Unavailable("The warehouse stayed away.")], ids=["memory", "unavailable"]
)
def test_the_raised_exception_contains_nothing_from_inside(error: Exception) -> None:
    error.add_note(MARKER)
    with pytest.raises(Unavailable) as raised:
        guarded(_raising(error), Raw(MARKER))
    exception = raised.value
    assert exception is not error
    assert exception.__cause__ is None
    assert exception.__context__ is None
    assert [frame.f_code.co_name for frame in _frames(exception)][-1] == "guarded"  # none of the step's own frames
    assert MARKER not in _inside(exception)


@pytest.mark.parametrize("error", [MemoryError(), Unavailable("away")], ids=["memory", "unavailable"])
def test_the_frame_of_the_boundary_does_not_keep_plain_content_either(error: Exception) -> None:
    def step(content: bytes, *, again: str) -> NoReturn:
        raise error

    with pytest.raises(Unavailable) as raised:
        guarded(step, MARKER.encode(), again=MARKER)
    assert MARKER not in _inside(raised.value)


def test_unavailable_without_a_message_contains_nothing_from_inside() -> None:
    with pytest.raises(Unavailable) as raised:
        guarded(_raising(Unavailable()), Raw(MARKER))
    assert raised.value.__context__ is None
    assert MARKER not in _inside(raised.value)


def test_only_what_the_caller_was_handling_is_in_the_chain() -> None:
    def called_while_handling() -> None:
        try:
            raise ValueError("the caller's own")
        except ValueError:
            guarded(_raising(MemoryError(MARKER)), Raw(MARKER))

    with pytest.raises(Unavailable) as raised:
        called_while_handling()
    assert repr(raised.value.__context__) == repr(ValueError("the caller's own"))


def test_boundaries_nest() -> None:
    def outer(raw: Raw[str]) -> tuple[object, object]:
        return guarded(_raising(Rejected(Reason.EMPTY_TEXT)), raw), guarded(_raising(ValueError(MARKER)), raw)

    assert guarded(outer, Raw(MARKER)) == (Reason.EMPTY_TEXT, Reason.INTERNAL)


def test_a_failing_step_logs_nothing(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.DEBUG):
        guarded(_raising(ValueError(MARKER)), Raw(MARKER))
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_the_reasons_are_the_closed_list_of_the_design() -> None:
    assert {reason.value for reason in Reason} == REASONS_OF_THE_DESIGN


@pytest.mark.parametrize("text", ["my own reason", MARKER, "", "INTERNAL"])
def test_no_free_text_becomes_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid Reason"):
        Reason(text)


def test_a_rejection_contains_its_code_and_nothing_else() -> None:
    rejected: Any = Rejected(Reason.EMPTY_TEXT)
    assert rejected.args == ("empty_text",)
    assert vars(rejected) == {"reason": Reason.EMPTY_TEXT}

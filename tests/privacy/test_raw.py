"""`Raw` shows nothing and cannot be converted to anything."""

import copy
import dataclasses
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable
from typing import Any

import cloudpickle
import jsonpickle
import pytest
import yaml
from apache_beam import coders
from hypothesis import given
from hypothesis import strategies as st

from rawless.events.event import Delivery
from rawless.privacy import Raw

MARKER = "my card ends in 4711"

REFUSED: dict[str, Callable[[Raw[Any]], object]] = {
    "str": str,
    "format": format,
    "f-string": lambda raw: f"{raw}",
    "f-string with a width": lambda raw: f"{raw:>40}",
    "percent": lambda raw: "%s" % raw,  # noqa: UP031
    "str.format": lambda raw: "{}".format(raw),  # noqa: UP032
    "join": lambda raw: "".join([raw]),  # type: ignore[list-item]
    "print": print,
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "int": int,
    "len": len,
    "iteration": list,
    "json": json.dumps,
    "json with default=str": lambda raw: json.dumps(raw, default=str),
    "json with default=vars": lambda raw: json.dumps(raw, default=vars),
    "json inside a dict": lambda raw: json.dumps({"text": raw}),
    "yaml": yaml.dump,
    "cloudpickle": cloudpickle.dumps,
    "cloudpickle of a closure": lambda raw: cloudpickle.dumps(lambda: raw),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "deepcopy inside a list": lambda raw: copy.deepcopy([raw]),
    "hash": hash,
    "set": lambda raw: {raw},
    "dict key": lambda raw: {raw: 1},
    "vars": vars,
    "getstate": lambda raw: raw.__getstate__(),
    "reduce": lambda raw: raw.__reduce__(),
    "beam's default coder": lambda raw: coders.FastPrimitivesCoder().encode(raw),
    "beam's default coder, in a tuple": lambda raw: coders.FastPrimitivesCoder().encode(("key", raw)),
    "beam's pickle coder": lambda raw: coders.PickleCoder().encode(raw),
}


def test_only_reveal_returns_the_content_of_a_raw() -> None:
    content = {"text": MARKER}
    assert Raw(content).reveal() is content


@pytest.mark.parametrize("turn", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("content", [MARKER, MARKER.encode(), {"text": MARKER}], ids=["text", "bytes", "fields"])
def test_a_raw_refuses_to_become_anything_else(content: object, turn: Callable[[Raw[Any]], object]) -> None:
    with pytest.raises(TypeError) as refused:
        turn(Raw(content))
    assert MARKER not in repr(refused.value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_raw_refuses_every_pickle_protocol(protocol: int) -> None:
    with pytest.raises(TypeError, match="Raw refuses to be pickled"):
        pickle.dumps(Raw(MARKER), protocol)
    with pytest.raises(TypeError, match="Raw refuses to be pickled"):
        pickle.dumps([{"nested": Raw(MARKER)}], protocol)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # jsonpickle's own, about its next version
@pytest.mark.parametrize("unpicklable", [True, False])
def test_jsonpickle_which_beam_uses_gets_no_content_from_a_raw(unpicklable: bool) -> None:
    try:
        written = jsonpickle.encode({"delivery": Raw(MARKER)}, unpicklable=unpicklable)
    except TypeError as refused:
        written = repr(refused)
    assert MARKER not in written


def test_a_subclass_of_raw_refuses_too() -> None:
    class Picture(Raw[bytes]):
        pass

    with pytest.raises(TypeError):
        pickle.dumps(Picture(MARKER.encode()))
    with pytest.raises(TypeError):
        str(Picture(MARKER.encode()))
    assert repr(Picture(MARKER.encode())) == "Raw(redacted)"


@given(st.one_of(st.text(), st.binary(), st.integers(), st.dictionaries(st.text(), st.text())))
def test_the_repr_is_the_same_whatever_the_content(content: object) -> None:
    assert repr(Raw(content)) == "Raw(redacted)"


def test_the_repr_stays_redacted_inside_other_values() -> None:
    delivery = Delivery("7", Raw({"text": MARKER}), 20)
    shown = [
        repr(delivery),
        str(delivery),
        f"{delivery}",
        repr([Raw(MARKER)]),
        "%r" % Raw(MARKER),  # noqa: UP031
        f"{Raw(MARKER)!r}",
        pprint.pformat([delivery] * 9),
        json.dumps(Raw(MARKER), default=repr),
    ]
    assert all("Raw(redacted)" in text for text in shown)
    assert all(MARKER not in text for text in shown)


def test_two_raws_of_the_same_content_are_not_equal() -> None:
    raw = Raw(MARKER)
    assert raw == raw
    assert raw != Raw(MARKER)
    assert raw != MARKER


def test_a_delivery_refuses_to_become_a_dict_a_tuple_or_a_pickle() -> None:
    delivery = Delivery("7", Raw({"text": MARKER}), 20)
    for turn in (dataclasses.asdict, dataclasses.astuple, copy.deepcopy, pickle.dumps, cloudpickle.dumps):
        with pytest.raises(TypeError) as refused:
            turn(delivery)
        assert MARKER not in str(refused.value)


@pytest.mark.parametrize("form", ["%s", "%r", "%d", "%s and more %s"])
def test_logging_a_raw_shows_no_content(form: str, capfd: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("tests.a_careless_library")
    handler = logging.StreamHandler()  # a handler prints the arguments of a record that it cannot format
    logger.addHandler(handler)
    logger.propagate = False
    try:
        logger.error(form, Raw(MARKER))
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
    shown = capfd.readouterr()
    assert "Raw(redacted)" in shown.err
    assert MARKER not in shown.out + shown.err


def test_a_traceback_that_prints_its_locals_shows_no_content() -> None:
    def step(raw: Raw[str]) -> None:
        raise ValueError(raw)

    try:
        step(Raw(MARKER))
    except ValueError as error:
        formatted = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert "Raw(redacted)" in "".join(formatted.format())
    assert not [
        text for frame in formatted.stack if frame.name == "step" for text in frame.locals.values() if MARKER in text
    ]

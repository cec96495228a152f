"""Unchanged content is encoded once: whether it comes again later or at the same time, within a bounded memory."""

import threading
import tracemalloc
from concurrent.futures import Future

import numpy as np
import pytest

from encoders.catalogue import lookup
from encoders.encoder import Encoded, Role
from encoders.remembering import Remembering, memory_bytes, remembering
from rawless.content import ImageLimits
from rawless.errors import Unavailable
from rawless.privacy import Raw, Reason

SECRET, LIMITS = b"s" * 32, ImageLimits()


class Texts:
    """An encoder whose outcomes a test decides: it keeps each item until the test answers it."""

    spec, runtime, capacity = lookup("minilm@1.0.0"), "none", 1

    def __init__(self) -> None:
        self.items: list[bytes] = []
        self.asked: list[Future[Encoded | Reason]] = []

    def submit(
        self, item: Raw[bytes], limits: ImageLimits = LIMITS, role: Role = "document"
    ) -> "Future[Encoded | Reason]":
        self.items.append(item.reveal())
        self.asked.append(Future())
        return self.asked[-1]

    def encode(self, *_: object) -> list[Encoded | Reason]:
        raise NotImplementedError

    def check_progress(self) -> None:
        pass


def encoded(number: float, dimension: int = 4) -> Encoded:
    return Encoded(np.full(dimension, number, np.float32), truncated=False)


def ask(memory: Remembering, encoder: Texts, content: bytes, answer: Encoded | Reason) -> Encoded | Reason:
    """Submit a content, and let the encoder answer if it is asked."""
    before = len(encoder.asked)
    outcome = memory.submit(Raw(content))
    for asked in encoder.asked[before:]:
        asked.set_result(answer)
    return outcome.result(0)


def test_the_contents_that_were_asked_for_last_are_not_encoded_again() -> None:
    encoder = Texts()
    memory = Remembering(encoder, SECRET, ImageLimits(), 2)
    for number, content in enumerate((b"a", b"b", b"a", b"c", b"a", b"b")):
        ask(memory, encoder, content, encoded(number))

    assert encoder.items == [b"a", b"b", b"c", b"b"]
    assert memory.counts() == (2, 4)
    assert memory.counts() == (0, 0)
    found = ask(memory, encoder, b"a", Reason.INTERNAL)
    assert isinstance(found, Encoded)
    assert found.vector.tolist() == [0.0] * 4


def test_content_that_is_being_encoded_is_waited_for() -> None:
    encoder = Texts()
    memory = Remembering(encoder, SECRET, ImageLimits(), 10)
    outcomes: list[Future[Encoded | Reason]] = []
    threads = [threading.Thread(target=lambda: outcomes.append(memory.submit(Raw(b"same")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not any(outcome.done() for outcome in outcomes)
    (asked,) = encoder.asked
    asked.set_result(encoded(1))
    assert [outcome.result(0) for outcome in outcomes] == [outcomes[0].result(0)] * 8
    assert memory.counts() == (7, 1)


def test_failures_reach_those_who_wait_and_are_not_remembered() -> None:
    encoder = Texts()
    memory = Remembering(encoder, SECRET, ImageLimits(), 10)
    first, second = memory.submit(Raw(b"x")), memory.submit(Raw(b"x"))
    encoder.asked[0].set_exception(Unavailable("The encoder is away."))
    for outcome in (first, second):
        with pytest.raises(Unavailable, match="is away"):
            outcome.result(0)

    assert ask(memory, encoder, b"x", Reason.EMPTY_TEXT) is Reason.EMPTY_TEXT
    assert isinstance(ask(memory, encoder, b"x", encoded(1)), Encoded)
    assert encoder.items == [b"x"] * 3


def test_a_remembered_vector_is_one_of_its_own_that_nobody_can_change() -> None:
    encoder = Texts()
    memory = Remembering(encoder, SECRET, ImageLimits(), 10)
    batch = np.zeros((1000, 4), np.float32)
    found = ask(memory, encoder, b"a", Encoded(batch[3], truncated=True))

    assert isinstance(found, Encoded)
    assert found.truncated
    assert found.vector.base is None
    with pytest.raises(ValueError, match="read-only"):
        found.vector[0] = 1


def test_the_memory_is_at_most_what_is_stated() -> None:
    encoder, entries, dimension = Texts(), 2_000, 64
    memory = Remembering(encoder, SECRET, ImageLimits(), entries)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(3 * entries):
        ask(memory, encoder, str(number).encode(), encoded(number, dimension))
        encoder.items.clear()
        encoder.asked.clear()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert 0.6 * memory_bytes(dimension, entries) < after - before < memory_bytes(dimension, entries)


def test_a_process_has_one_memory_for_each_encoder_stream_and_limits() -> None:
    encoder = Texts()
    memory = remembering(encoder, SECRET, ImageLimits(), 10)

    assert remembering(encoder, SECRET, ImageLimits(), 10) is memory
    others = (
        (Texts(), SECRET, ImageLimits()),
        (encoder, b"t" * 32, ImageLimits()),
        (encoder, SECRET, ImageLimits(max_side=9)),
    )
    for other in others:
        assert remembering(*other, 10) is not memory

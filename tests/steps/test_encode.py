"""The encode step: small bundles in many threads share full batches, and each gets the rows of its own events."""

import ctypes
import gc
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from weakref import ref

import pytest
import torch

from encoders.batch_encoder import BatchEncoder
from encoders.batcher import Budget
from encoders.catalogue import lookup
from encoders.encoder import Encoder
from encoders.family import Inputs, Model
from rawless import broken_process
from rawless.content import ImageLimits
from rawless.errors import Unavailable, UserError
from rawless.events.event import Event
from rawless.events.stream import Limits, Stream
from rawless.metering.metric import keep_for_runner, take
from rawless.privacy import Raw, Reason, Rejected
from rawless.privacy.pseudonyms import KeySource
from rawless.steps import encode
from rawless.steps.elements import EncodedEvent, ParsedEvent
from rawless.steps.meter import NoMeter
from rawless.warehouse.rows import EmbeddingRow, RejectionRow
from tests.measured import measured

SPEC = lookup("minilm@1.0.0")
STREAM = Stream(stream="message", modality="text", encoders=(SPEC.ref,), subject="none")
LIMIT = 30.0
KILLER = 666
"""A number that kills the process that encodes it."""


class NumberModel(Model[int]):
    """Encodes a number as a vector that starts with it, rejects other content, and runs out of memory for -1."""

    def __init__(self, budget: Budget) -> None:
        self.load_network, self.budget = torch.nn.Identity, budget
        self.released = threading.Event()
        self.released.set()

    def prepare(self, content: bytes, limits: ImageLimits) -> int:
        if not content.isdigit():
            raise Rejected(Reason.EMPTY_TEXT)
        return int(content)

    def cost(self, prepared: int) -> int:
        return 1

    def inputs(self, batch: Sequence[int]) -> Inputs:
        assert self.released.wait(LIMIT)
        if -1 in batch:
            raise MemoryError
        if KILLER in batch:
            ctypes.string_at(0)
        vectors = torch.zeros(len(batch), SPEC.dimension)
        vectors[:, 0] = torch.tensor(batch)
        return (vectors,)

    def examples(self) -> list[Inputs]:
        return []


class Numbers(BatchEncoder[int]):
    """An encoder of numbers."""

    def __init__(self, capacity: int = 1000, wait_seconds: float = 0.0) -> None:
        model = NumberModel(Budget(16, 1, capacity, wait_seconds))
        super().__init__(SPEC, model, torch.device("cpu"))
        self.released = model.released


def event(number: object, size: int = 100) -> ParsedEvent:
    ids = {"event_id": f"e-{number}", "subject_key": None, "subject_key_id": None}
    content = Raw(str(number).encode())
    event = Event("message", occurred_at=datetime.now(UTC), attributes=(), payload=content, size=size, **ids)
    return ParsedEvent(event, str(number))


def step(monkeypatch: pytest.MonkeyPatch, *encoders: Encoder) -> encode.Encode:
    """Return a step with these encoders."""
    left = iter(encoders)
    monkeypatch.setattr(encode, "load", lambda *_: next(left))
    encode_step = encode.Encode([encoder.spec for encoder in encoders], "cpu", STREAM, KeySource())
    encode_step.setup(NoMeter())
    return encode_step


def bundle(encode_step: encode.Encode, *events: ParsedEvent) -> list[EmbeddingRow | RejectionRow]:
    encode_step.start()
    outputs = [row for parsed in events for row in encode_step.process(parsed)]
    outputs += encode_step.finish()
    return [_row(output) for output in outputs]


def _row(output: EncodedEvent | RejectionRow) -> EmbeddingRow | RejectionRow:
    return output.row if isinstance(output, EncodedEvent) else output


def id_and_outcome(row: EmbeddingRow | RejectionRow) -> tuple[str | None, object]:
    return row.event_id, row.reason if isinstance(row, RejectionRow) else int(row.embedding[0])


def test_bundles_of_four_in_twelve_threads_share_batches_and_each_gets_its_own_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = Numbers(wait_seconds=LIMIT)
    outputs: dict[int, list[Any]] = {}
    steps = [step(monkeypatch, encoder) for _ in range(12)]

    def work(thread: int) -> None:
        numbers = range(4 * thread, 4 * thread + 4)
        outputs[thread] = [id_and_outcome(row) for row in bundle(steps[thread], *map(event, numbers))]

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)

    expected = {n: [(f"e-{number}", number) for number in range(4 * n, 4 * n + 4)] for n in range(12)}
    assert outputs == expected


def test_the_batches_of_small_bundles_are_full(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Numbers(wait_seconds=LIMIT)
    encoder.measure()
    keep_for_runner()
    take()
    steps = [step(monkeypatch, encoder) for _ in range(12)]
    threads = [threading.Thread(target=bundle, args=(encode_step, *map(event, range(4)))) for encode_step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert [each.amount for each in take() if each.name == "batch_items"] == [16, 16, 16]


def test_rows_come_in_the_order_of_events_with_rejections_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = bundle(step(monkeypatch, Numbers()), event(1), event("no number"), event(2))
    assert [id_and_outcome(row) for row in rows] == [("e-1", 1), ("e-no number", "empty_text"), ("e-2", 2)]


def test_with_two_encoders_each_event_has_a_row_of_each_even_with_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = bundle(step(monkeypatch, Numbers(capacity=1), Numbers(capacity=1)), *map(event, range(20)))
    assert [id_and_outcome(row) for row in rows] == [(f"e-{number}", number) for number in range(20) for _ in range(2)]


def test_an_encoder_that_is_out_of_memory_fails_the_bundle_and_not_the_event(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Numbers()
    encode_step = step(monkeypatch, encoder)
    monkeypatch.setattr(encoder, "_prepare", lambda content, limits, role: -1)
    with pytest.raises(Unavailable, match="out of memory"):
        bundle(encode_step, event(1))
    monkeypatch.undo()

    assert [id_and_outcome(row) for row in bundle(encode_step, event(7))] == [("e-7", 7)]


def test_events_that_wait_for_the_encoder_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Numbers()
    encode_step = step(monkeypatch, encoder)
    encoder.released.clear()
    encode_step.start()
    half = encode.MAX_BYTES // 2
    assert list(encode_step.process(event(1, half))) == []
    assert list(encode_step.process(event(2, half))) == []

    third: list[Any] = []
    reader = threading.Thread(target=lambda: third.extend(encode_step.process(event(3, half))))
    reader.start()
    reader.join(0.1)
    assert reader.is_alive()  # it waits for the first
    encoder.released.set()
    reader.join(LIMIT)

    assert [id_and_outcome(_row(output)) for output in [*third, *encode_step.finish()]] == [
        ("e-1", 1),
        ("e-2", 2),
        ("e-3", 3),
    ]


def test_a_bundle_whose_event_is_never_encoded_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Numbers()
    encode_step = step(monkeypatch, encoder)
    encoder.released.clear()
    monkeypatch.setattr("encoders.encoder._CHECK_SECONDS", 0.01)
    monkeypatch.setattr("encoders.encoder.WAIT_SECONDS", 0.0)
    with pytest.raises(Unavailable, match="has not encoded an item within"):
        bundle(encode_step, event(1))

    monkeypatch.setattr("encoders.encoder.WAIT_SECONDS", LIMIT)
    monkeypatch.setattr("encoders.batcher.STUCK_SECONDS", 0.0)
    with pytest.raises(Unavailable, match="a thread hangs"):
        bundle(encode_step, event(2))
    encoder.released.set()


POISONED, BAD_ARGUMENT = 700, 1


@pytest.mark.parametrize(("code", "tries"), [(POISONED, 1), (BAD_ARGUMENT, 8)])
def test_a_batch_is_not_halved_once_the_device_is_lost(monkeypatch: pytest.MonkeyPatch, code: int, tries: int) -> None:
    encoder = Numbers(wait_seconds=LIMIT, capacity=4)
    monkeypatch.setattr(encoder, "_prepare_probe", lambda: 0)
    sizes: list[int] = []

    def runtime(inputs: torch.Tensor) -> None:
        sizes.append(len(inputs))
        error = torch.AcceleratorError("CUDA error")
        error.error_code = code  # type: ignore[attr-defined]
        raise error

    monkeypatch.setattr(encoder, "_runtime", runtime)
    with pytest.raises(Unavailable, match="only a new process" if code == POISONED else "its own probe too"):
        bundle(step(monkeypatch, encoder), *map(event, range(4)))
    assert len(sizes) == tries  # the last one of the halves is the probe
    assert broken_process.is_broken()


def test_a_worker_that_has_no_memory_even_for_the_probe_is_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Numbers()
    monkeypatch.setattr(encoder, "_prepare_probe", lambda: -1)
    monkeypatch.setattr(encoder, "_runtime", lambda inputs: inputs.numpy() * float("nan"))
    with pytest.raises(Unavailable, match="out of memory"):
        bundle(step(monkeypatch, encoder), event(1))
    assert not broken_process.is_broken()


class Kept:
    """What the frame of a bundle names."""


def test_a_bundle_whose_items_have_no_outcome_is_in_memory_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exception names its frames, so no frame may name the exception, not even by a future."""
    encode_step = step(monkeypatch, Numbers())

    def fail() -> ref[Kept]:
        kept = Kept()
        with suppress(Unavailable):
            bundle(encode_step, event(1), event(2))
        return ref(kept)

    monkeypatch.setattr(NumberModel, "prepare", lambda *_: -1)
    gc.disable()
    try:
        assert fail()() is None
    finally:
        gc.enable()


def test_a_worker_that_lacks_the_decoder_of_a_format_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("encoders.image_formats.heic.LIBRARY", "a_library_that_is_missing")
    encode_step = encode.Encode([], "cpu", STREAM.model_copy(update={"limits": Limits(formats=("heic",))}), KeySource())
    with pytest.raises(UserError, match=r"limits\.formats: heic needs pillow-heif"):
        encode_step.setup(NoMeter())


def test_events_in_progress_are_measured_until_they_have_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Numbers()
    encoder.measure()
    encode_step = step(monkeypatch, encoder)
    encoder.released.clear()
    encode_step.start()
    before = measured("rawless_events_in_progress"), measured("rawless_bytes_in_progress")
    for number in range(3):
        assert list(encode_step.process(event(number, 500))) == []

    assert measured("rawless_events_in_progress") - before[0] == 3
    assert measured("rawless_bytes_in_progress") - before[1] == 1500
    encoder.released.set()
    assert len(list(encode_step.finish())) == 3
    assert measured("rawless_events_in_progress") == before[0]

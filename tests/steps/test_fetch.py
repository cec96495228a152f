"""The fetch step: objects are read beside each other, within a bound in bytes, and each event gets its own content."""

import gc
import logging
import pickle
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from weakref import ref

import pytest

from rawless.content_parts import unpack
from rawless.errors import Unavailable
from rawless.events.cloud_objects import forget_client
from rawless.events.event import Delivery, Event
from rawless.events.objects import ObjectLocation, ReadObject
from rawless.events.stored_objects import read_object
from rawless.events.stream import Stream
from rawless.privacy import Raw, Reason, Rejected
from rawless.privacy.pseudonyms import KeySource
from rawless.steps import fetch
from rawless.steps.chain import Chain
from rawless.steps.elements import CheckedEvent, ParsedEvent
from rawless.steps.fetch import Fetch, Fetcher
from rawless.steps.meter import NoMeter
from rawless.steps.parse import Parse
from rawless.steps.step import Step
from rawless.warehouse.rows import RejectionRow
from tests.measured import measured
from tests.object_server import Store, Stored, serving
from tests.streams import ANY_ID

LIMIT = 30.0
MARKER = "Rosalind-0815"
PREFIX = "gs://bucket/folder/"
STREAM = Stream.model_validate(
    {
        "stream": "message",
        "modality": "text",
        "encoders": ["minilm@1.0.0"],
        "event_id": ANY_ID,
        "subject": "none",
        "limits": {"max_bytes": 100},
        "uri_prefixes": [PREFIX],
    }
)
PARTS = STREAM.model_validate(
    {
        **STREAM.model_dump(exclude={"limits"}),
        "modality": "parts",
        "parts": {"photo": {"modality": "image", "max_bytes": 50}, "caption": {"modality": "text", "max_bytes": 20}},
    }
)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with serving() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.address)
        forget_client()
        yield server
        forget_client()
    gc.collect()


class Counts(NoMeter):
    """Remembers what was counted and measured."""

    def __init__(self) -> None:
        self.counted: list[str] = []
        self.observed: list[str] = []

    def count(self, name: str, amount: int = 1, encoder: str | None = None) -> None:
        self.counted.append(name)

    def observe(self, name: str, value: float, encoder: str | None = None) -> None:
        self.observed.append(name)


def step(fetcher: Fetcher, meter: NoMeter | None = None) -> Fetch:
    """Return a step with this fetcher, after a bundle has started."""
    made = Fetch("message")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetch, "fetcher", lambda: fetcher)
        made.setup(meter or NoMeter())
    made.start()
    return made


def checked(number: object, stream: Stream = STREAM, **fields: object) -> CheckedEvent:
    """Return an event as the parse step hands it on; by default its payload is the object of that number."""
    parse = Parse(stream, KeySource())
    parse.setup(NoMeter())
    whole = {"event_id": f"e-{number}", "occurred_at": datetime.now(UTC).isoformat(), "stream": "message"}
    payload = fields or {"uri": f"{PREFIX}{number}"}
    [outcome] = parse.process(Delivery(str(number), Raw({**whole, **payload}), 2_000))
    assert isinstance(outcome, CheckedEvent)
    return outcome


def bundle(fetch_step: Fetch, *events: CheckedEvent) -> list[ParsedEvent | RejectionRow]:
    return [*(output for event in events for output in fetch_step.process(event)), *fetch_step.finish()]


def contents(outputs: Sequence[ParsedEvent | RejectionRow]) -> dict[str, bytes | str]:
    """Return the content, or the reason of the rejection, by message id."""
    return {
        output.message_id: output.reason if isinstance(output, RejectionRow) else output.event.payload.reveal()
        for output in outputs
    }


def number_of(location: ObjectLocation) -> bytes:
    return location.parts[-1].encode()


def test_each_event_gets_its_own_object_by_one_request_and_connections_are_shared(store: Store) -> None:
    for number in range(40):
        store.put(f"folder/{number}", str(number).encode())
    fetcher = Fetcher(read_object, threads=4)

    outputs = [bundle(step(fetcher), *map(checked, range(start, start + 4))) for start in range(0, 40, 4)]

    assert {name: content for each in outputs for name, content in contents(each).items()} == {
        str(number): str(number).encode() for number in range(40)
    }
    assert len(store.asked) == 40
    assert store.connections <= 4


def test_the_objects_of_a_bundle_are_read_at_the_same_time() -> None:
    together = threading.Barrier(8)

    def read(location: ObjectLocation, limit: int) -> bytes:
        together.wait(LIMIT)  # until all eight are being read
        return number_of(location)

    outputs = bundle(step(Fetcher(read, threads=8)), *map(checked, range(8)))

    assert contents(outputs) == {str(number): str(number).encode() for number in range(8)}


def test_events_that_are_ready_are_handed_on_while_others_are_read() -> None:
    answers, was_read = threading.Event(), threading.Event()

    def read(location: ObjectLocation, limit: int) -> bytes:
        if location.parts == ("slow",):
            assert answers.wait(LIMIT)
        was_read.set()
        return number_of(location)

    fetch_step = step(Fetcher(read, threads=2))
    assert list(fetch_step.process(checked("slow"))) == []
    assert contents(list(fetch_step.process(checked("inline", text="hello")))) == {"inline": b"hello"}
    outputs = list(fetch_step.process(checked("quick")))
    assert was_read.wait(LIMIT)
    while not outputs:
        outputs = list(fetch_step.process(checked("inline", text="hello")))
        outputs = [output for output in outputs if output.message_id != "inline"]
    assert contents(outputs) == {"quick": b"quick"}
    answers.set()
    assert contents(list(fetch_step.finish())) == {"slow": b"slow"}


def test_a_bundle_has_no_more_than_its_share_of_events_in_progress() -> None:
    fetch_step = step(Fetcher(lambda location, limit: number_of(location), threads=2))
    outputs = [output for number in range(1_000) for output in fetch_step.process(checked(number))]

    assert len(outputs) > 1_000 - fetch.MAX_PENDING
    assert len(outputs) + len(list(fetch_step.finish())) == 1_000


class Bounded:
    """Objects of 100 bytes, and the bytes that are read, or were and are not handed on."""

    def __init__(self) -> None:
        self.now, self.most = 0, 0
        self._lock = threading.Lock()

    def read(self, location: ObjectLocation, limit: int) -> bytes:
        self._add(100)
        return bytes(100)

    def hand_on(self, outputs: Iterator[ParsedEvent | RejectionRow]) -> int:
        count = 0
        for _ in outputs:
            self._add(-100)
            count += 1
        return count

    def _add(self, amount: int) -> None:
        with self._lock:
            self.now += amount
            self.most = max(self.most, self.now)


@pytest.mark.parametrize("max_bytes", [50, 101, 500, 2_000])
def test_the_bytes_of_all_bundles_are_bounded_and_none_waits_for_ever(max_bytes: int) -> None:
    """Events of 100 bytes, which take 101 while they are read: with too few bytes, one is read at a time."""
    bytes_, events = Bounded(), [checked(number) for number in range(20)]
    fetcher = Fetcher(bytes_.read, threads=8, max_bytes=max_bytes)

    def run(_: int) -> int:
        fetch_step = step(fetcher)
        count = sum(bytes_.hand_on(fetch_step.process(event)) for event in events)
        return count + bytes_.hand_on(fetch_step.finish())

    with ThreadPoolExecutor(12) as threads:
        assert list(threads.map(run, range(12), timeout=LIMIT)) == [20] * 12

    assert bytes_.now == 0
    assert bytes_.most <= max(max_bytes, 100)


def test_a_large_event_takes_less_as_soon_as_its_size_is_known() -> None:
    """Five events with a limit of 101 bytes each are read with 150: what has arrived has one byte."""
    fetch_step = step(Fetcher(lambda *_: b"x", threads=1, max_bytes=150))
    for number in range(5):
        fetch_step._fetcher.submit(checked(number).event, str(number), 1, fetch_step._done)  # type: ignore[arg-type]
    waiting = [fetch_step._done.get(timeout=LIMIT) for _ in range(5)]  # each still holds its bytes
    assert [fetched.outcome.size for fetched in waiting] == [1] * 5  # type: ignore[union-attr]


def failing(location: ObjectLocation, limit: int) -> bytes:
    raise Unavailable("The store does not answer; run again later.")


def broken(location: ObjectLocation, limit: int) -> bytes:
    raise SystemExit(MARKER)


@pytest.mark.parametrize(
    ("read", "sentence"), [(failing, "The store does not answer"), (broken, "An object could not be read")]
)
def test_an_object_that_cannot_be_read_now_fails_the_bundle_and_gives_back_its_bytes(
    read: ReadObject, sentence: str
) -> None:
    def some_fail(location: ObjectLocation, limit: int) -> bytes:
        return read(location, limit) if location.parts == ("bad",) else number_of(location)

    fetcher = Fetcher(some_fail, threads=2, max_bytes=202)  # two events at a time
    fetch_step = step(fetcher)
    with pytest.raises(Unavailable, match=f"^{sentence}") as raised:
        bundle(fetch_step, checked("bad"), *map(checked, range(10)))
    assert raised.value.__context__ is None
    assert MARKER not in str(raised.value)

    assert contents(bundle(fetch_step, checked(1), checked(2))) == {"1": b"1", "2": b"2"}
    with fetcher._bytes.acquire(202):  # all were given back
        pass


class Kept:
    """What the frame of a bundle names."""


def test_a_bundle_whose_object_cannot_be_read_is_in_memory_no_longer() -> None:
    fetch_step = step(Fetcher(failing, threads=1))

    def fail() -> ref[Kept]:
        kept = Kept()
        with suppress(Unavailable):
            bundle(fetch_step, checked("bad"))
        return ref(kept)

    gc.disable()
    try:
        assert fail()() is None
    finally:
        gc.enable()


class Fails(Step[ParsedEvent, ParsedEvent]):
    """Fails at its first event, and lets others be read then."""

    def __init__(self, reads: threading.Event) -> None:
        self._reads = reads

    def setup(self, meter: object) -> None:
        """See `Step.setup`."""

    def process(self, element: ParsedEvent) -> Iterator[ParsedEvent | RejectionRow]:
        """See `Step.process`."""
        self._reads.set()
        raise Unavailable("The warehouse is away.")


def test_what_is_read_for_a_bundle_that_fails_in_a_later_step_takes_no_bytes() -> None:
    """Its thread in a worker may be without a new bundle for as long as others wait for these bytes."""
    reads = threading.Event()

    def read(location: ObjectLocation, limit: int) -> bytes:
        assert reads.wait(LIMIT)
        return bytes(100)

    fetcher = Fetcher(read, threads=2, max_bytes=202)
    chain = Chain([step(fetcher), Fails(reads)], Fails(reads))
    with pytest.raises(Unavailable, match="The warehouse is away"):
        chain.run([checked(1), checked(2), checked("inline", text="hello")])

    fetcher._threads.shutdown()  # waits until all that was submitted is read or dropped
    assert fetcher._bytes._available == 202


def test_what_is_read_for_a_bundle_that_was_given_up_is_dropped() -> None:
    answers, read = threading.Event(), []

    def slow(location: ObjectLocation, limit: int) -> bytes:
        assert answers.wait(LIMIT)
        read.append(location.parts)
        return number_of(location)

    fetcher = Fetcher(slow, threads=1, max_bytes=202)
    given_up = step(fetcher)
    for number in range(5):
        assert list(given_up.process(checked(number))) == []
    del given_up  # as Beam does with the steps of a bundle that failed elsewhere
    gc.collect()
    answers.set()

    assert contents(bundle(step(fetcher), checked("next"))) == {"next": b"next"}
    assert len(read) <= 2  # the one that was being read, and not those that waited
    with fetcher._bytes.acquire(202):
        pass


def test_a_bundle_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    monkeypatch.setattr(fetch, "WAIT_SECONDS", 0.01)
    fetch_step = step(Fetcher(lambda *_: bytes(answers.wait(LIMIT)), threads=1))
    with pytest.raises(Unavailable, match=r"^No object could be read for 0 seconds; run again"):
        bundle(fetch_step, checked(1))
    answers.set()


def test_the_queue_of_objects_is_measured_until_they_are_being_read() -> None:
    answers = threading.Event()
    fetch_step = step(Fetcher(lambda *_: bytes(answers.wait(LIMIT)), threads=1))
    fetch_step.start()
    before = measured("rawless_queue_items", encoder="", queue="fetch")
    for number in range(3):
        assert list(fetch_step.process(checked(number))) == []

    assert measured("rawless_queue_items", encoder="", queue="fetch") - before >= 2
    assert measured("rawless_queue_oldest_seconds", encoder="", queue="fetch") > 0
    answers.set()
    assert len(list(fetch_step.finish())) == 3
    assert measured("rawless_queue_items", encoder="", queue="fetch") == before


def test_rejections_have_the_stage_the_reason_and_the_ids(store: Store) -> None:
    store.put("folder/large", bytes(200))
    store.put("folder/empty", b"")
    store.put("folder/closed", b"x", media_status=[403])
    store.put("folder/good", b"good")
    meter = Counts()

    outputs = bundle(step(Fetcher(read_object), meter), *map(checked, ["large", "empty", "closed", "gone", "good"]))

    reasons = {
        "large": Reason.PAYLOAD_TOO_LARGE,
        "empty": Reason.EMPTY_TEXT,
        "closed": Reason.OBJECT_UNREADABLE,
        "gone": Reason.OBJECT_NOT_FOUND,
    }
    assert contents(outputs) == {**reasons, "good": b"good"}
    rows = [output for output in outputs if isinstance(output, RejectionRow)]
    assert {(row.stage, row.event_id, row.stream, row.size_bucket) for row in rows} == {
        ("fetch", f"e-{name}", "message", rows[0].size_bucket) for name in reasons
    }
    assert sorted(meter.counted) == sorted(f"rejected.fetch.{reason}" for reason in reasons.values())
    assert Counter(meter.observed) == {"fetch_seconds": 5, "fetched_bytes": 1}


def test_the_parts_of_an_event_are_read_and_packed(store: Store) -> None:
    store.put("folder/photo", b"\x89PNG")
    store.put("folder/large", bytes(51))
    photo, caption = {"uri": f"{PREFIX}photo"}, {"text": "my é"}
    events = [
        checked("both", PARTS, parts={"photo": photo, "caption": caption}),
        checked("inline", PARTS, parts={"caption": caption}),
        checked("gone", PARTS, parts={"photo": photo, "caption": {"uri": f"{PREFIX}gone"}}),
        checked("large", PARTS, parts={"photo": {"uri": f"{PREFIX}large"}, "caption": caption}),
    ]
    assert isinstance(events[1].event, Event)  # there is nothing to read

    found = contents(bundle(step(Fetcher(read_object)), *events))

    assert (found.pop("gone"), found.pop("large")) == (Reason.OBJECT_NOT_FOUND, Reason.PAYLOAD_TOO_LARGE)
    assert {name: unpack(content) for name, content in found.items() if isinstance(content, bytes)} == {
        "both": {"photo": b"\x89PNG", "caption": "my é".encode()},
        "inline": {"caption": "my é".encode()},
    }


def test_neither_content_nor_names_of_objects_are_shown(
    store: Store, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    store.objects[f"bucket/folder/{MARKER}-good"] = Stored(MARKER.encode())

    def fails(location: ObjectLocation, limit: int) -> bytes:
        logging.getLogger("library").warning("read %s", location)
        if location.parts[-1] == f"{MARKER}-bad":
            raise ValueError(location)
        if location.parts[-1] == f"{MARKER}-refused":
            raise Rejected(Reason.OBJECT_NOT_FOUND)
        return read_object(location, limit)

    events = [checked(1, uri=f"{PREFIX}{MARKER}-{name}") for name in ("good", "bad", "refused", "gone")]
    with caplog.at_level(logging.DEBUG):
        outputs = bundle(step(Fetcher(fails)), *events)

    assert sorted(type(output).__name__ for output in outputs) == ["ParsedEvent", *["RejectionRow"] * 3]
    assert caplog.records  # the log was captured
    assert MARKER not in repr(events) + repr(outputs) + caplog.text + "".join(capfd.readouterr())


def test_the_step_is_pickled_into_jobs_by_name() -> None:
    assert isinstance(pickle.loads(pickle.dumps(Fetch("message"))), Fetch)

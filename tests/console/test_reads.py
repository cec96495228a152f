"""A part is read once for all who ask at the same time, and what it fails with says nothing that a library wrote."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rawless.connect import LOCAL_CONFIG
from rawless.console.reads import FAILED_SECONDS, FRESH_SECONDS, Reads
from rawless.errors import Unavailable, UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import Emulator

NOWHERE = Warehouse(LOCAL_CONFIG, Emulator("http://127.0.0.1:9", "127.0.0.1:9"))


class Clock:
    """A clock that stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_requests_at_the_same_time_read_a_part_once() -> None:
    reads, calls, asked = Reads(NOWHERE), list[int](), threading.Barrier(5)

    def read(_: Warehouse) -> str:
        calls.append(1)
        return "read"

    def ask() -> str:
        asked.wait()
        return reads.part("key", read, "nothing").value

    with ThreadPoolExecutor(5) as pool:
        values = [each.result() for each in [pool.submit(ask) for _ in range(5)]]

    assert values == ["read"] * 5
    assert len(calls) == 1


def test_a_part_is_kept_for_a_minute_and_a_failure_for_seconds() -> None:
    clock, outcomes = Clock(), iter(["first", UserError("It may not be read."), "third"])
    reads = Reads(NOWHERE, clock)

    def read(_: Warehouse) -> str:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    seen = []
    for clock.now in (0.0, FRESH_SECONDS - 1, FRESH_SECONDS, FRESH_SECONDS + FAILED_SECONDS - 1):
        seen.append(reads.part("key", read, "nothing"))
    clock.now = FRESH_SECONDS + FAILED_SECONDS
    seen.append(reads.part("key", read, "nothing"))

    assert [part.value for part in seen] == ["first", "first", "nothing", "nothing", "third"]
    assert [part.problem for part in seen] == [None, None, "It may not be read.", "It may not be read.", None]


@pytest.mark.parametrize(
    "error", [ValueError("a customer's words"), Unavailable("a customer's words"), KeyError("words")]
)
def test_the_text_of_an_error_of_a_library_is_not_shown(error: Exception) -> None:
    def read(_: Warehouse) -> str:
        raise error

    problem = Reads(NOWHERE).part("key", read, "nothing").problem

    assert problem
    assert "words" not in problem

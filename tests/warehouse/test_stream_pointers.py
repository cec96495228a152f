"""The pointers of a stream: which encoder is live, which others have a role, and two processes that change them."""

import pytest

from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.stream_pointers import point, read

OLD, NEW = "a" * 64, "b" * 64


def test_the_encoder_that_was_made_live_last_answers_and_the_one_before_stays_dual(warehouse: Warehouse) -> None:
    before = read(warehouse, "message")
    assert (before.live, before.roles) == (None, {})

    pointers = point(warehouse, before, {OLD: "live"})
    pointers = point(warehouse, pointers, {NEW: "shadow"})
    assert (pointers.live, pointers.roles) == (OLD, {OLD: "live", NEW: "shadow"})

    pointers = point(warehouse, pointers, {NEW: "live"})
    assert (pointers.live, pointers.roles) == (NEW, {OLD: "dual", NEW: "live"})

    pointers = point(warehouse, pointers, {OLD: "live", NEW: "shadow"})
    assert (pointers.live, pointers.roles) == (OLD, {OLD: "live", NEW: "shadow"})
    assert read(warehouse, "other").history == ()


def test_a_change_of_pointers_that_were_read_before_another_change_is_refused(warehouse: Warehouse) -> None:
    before = read(warehouse, "message")
    point(warehouse, before, {OLD: "live"})

    with pytest.raises(UserError, match="changed in the meantime"):
        point(warehouse, before, {NEW: "live"})
    assert read(warehouse, "message").live == OLD

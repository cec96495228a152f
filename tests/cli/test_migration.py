"""A stream that is migrated by commands: both encoders log, one is adopted, and the other is retired."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from encoders.seal import seal
from encoders.spec import EncoderSpec
from tests.cli.conftest import Outcome
from tests.shop import AS_OF, Shop

Rawless = Callable[..., Outcome]
OLD, NEW = "tiny@1.0.0", "tiny@1.1.0"


@pytest.fixture
def stream_of(tmp_path: Path, tiny_file: Path, tiny_spec: Callable[..., EncoderSpec]) -> Callable[..., Path]:
    """Returns a function that writes the stream's file with the encoders of some versions."""
    file = tmp_path / "tiny-cls.yaml"
    file.write_text(seal(tiny_spec(version="1.1.0", pooling="cls")).model_dump_json())
    files = {OLD: str(tiny_file), NEW: str(file)}

    def write(*refs: str) -> Path:
        path = tmp_path / f"{'-'.join(refs)}.yaml"
        encoders = ", ".join(f"'{files[ref]}'" for ref in refs)
        path.write_text(
            f"stream: migrated\nmodality: text\nencoders: [{encoders}]\n"
            "subject: none\nevent_id: {pattern: 'e-\\d+'}\n"
        )
        return path

    return write


def rows(shop: Shop) -> dict[str, int]:
    """The number of rows of the stream by encoder."""
    found = shop.warehouse.query(
        "SELECT CONCAT(encoder, '@', encoder_version) AS ref, COUNT(*) AS n FROM embedding_event_v1"
        " WHERE stream = 'migrated' AND occurred_at > TIMESTAMP_SECONDS(0) GROUP BY ref"
    )
    return {row["ref"]: row["n"] for row in found}


@pytest.mark.full
def test_a_stream_is_migrated_and_the_former_encoder_retired(
    rawless: Rawless, shop: Shop, stream_of: Callable[..., Path], write_events: Callable[..., Path]
) -> None:
    def ingest(stream: Path, numbers: range) -> Outcome:
        at = (AS_OF - timedelta(days=1)).isoformat()
        events = [{"stream": "migrated", "event_id": f"e-{each}", "occurred_at": at} for each in numbers]
        rejected: list[dict[str, Any]] = [{**events[0], "event_id": "e-99", "text": ""}]
        return rawless("ingest", "--stream", stream, "--source", f"jsonl:{write_events(*events, *rejected)}")

    def ok(*arguments: str | Path) -> str:
        outcome = rawless(*arguments)
        assert outcome.code == 0, outcome.err
        return outcome.out

    before, both, after = stream_of(OLD), stream_of(OLD, NEW), stream_of(NEW)
    assert ingest(before, range(3)).code == 0
    assert ingest(both, range(3, 7)).code == 0
    assert rows(shop) == {OLD: 7, NEW: 4}

    planned = ok("encoder", "adopt", both, NEW, "--to", "shadow", "--plan")
    assert f"{NEW} would be shadow for migrated." in planned
    assert "migrated has no pointers: the first encoder of its file" in ok("encoder", "roles", both)
    for step in ("shadow", "dual"):
        assert f"{NEW} is now {step} for migrated" in ok("encoder", "adopt", both, NEW, "--to", step)
    assert "--without-heads" in rawless("encoder", "adopt", both, NEW, "--to", "live").err
    live = ok("encoder", "adopt", both, NEW, "--to", "live", "--without-heads")
    assert f"The live encoder is now {NEW} instead of {OLD}." in live
    assert f"is now {OLD} instead of {NEW}" in ok("encoder", "adopt", both, NEW, "--back", "--without-heads")
    ok("encoder", "adopt", both, NEW, "--to", "live", "--without-heads")
    roles = rawless("encoder", "roles", "migrated", "--json").json
    assert [(each["encoder"], each["role"]) for each in roles["roles"]] == [(NEW, "live"), (OLD, "dual")]
    assert len(roles["history"]) == 9

    as_of = {"stream": "migrated", "rules": [], "as_of": datetime.now(UTC).isoformat()}
    counts = {ref: shop.build(**as_of, encoder=ref).manifest.rows for ref in (OLD, NEW)}
    assert counts == {OLD: 7, NEW: 4}

    assert f"{NEW} is the live encoder of migrated" in rawless("encoder", "retire", both, NEW).err
    assert f"{OLD} is in the encoders of migrated's stream file" in rawless("encoder", "retire", both, OLD).err
    assert "1 snapshot of migrated has vectors of tiny@1.0.0" in rawless("encoder", "retire", after, OLD).err
    assert rows(shop) == {OLD: 7, NEW: 4}
    assert "7 rows, about" in ok("encoder", "retire", after, OLD, "--keep-snapshots", "--plan")
    assert "7 rows before, 0 now" in ok("encoder", "retire", after, OLD, "--keep-snapshots")
    assert rows(shop) == {NEW: 4}
    assert "is retired for migrated again: 0 rows before, 0 now" in ok(
        "encoder", "retire", after, OLD, "--keep-snapshots"
    )

    source = ("--source", f"jsonl:{write_events()}")
    for command in (("ingest",), ("replay", "--reason", "empty_text")):
        refused = rawless(*command, "--stream", both, *source)
        assert refused.code == 2
        assert "is retired for migrated, so its rows were deleted: remove it from the encoders" in refused.err
    assert ingest(after, range(7, 9)).code == 0
    assert rows(shop) == {NEW: 6}

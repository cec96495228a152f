"""The commands around the leakage gate: what a stream with one may do, and how a waiver lets an encoder pass."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from encoders.spec import EncoderSpec
from rawless.connect import LOCAL_CONFIG
from rawless.local.stack import Stack
from rawless.warehouse.account import user_name
from rawless.warehouse.client import Warehouse
from tests.cli.conftest import Outcome
from tests.warehouse.test_leakage_gate import audit

Rawless = Callable[..., Outcome]
TODAY = datetime.now(UTC).date()
GRANT = ("--metric", "words_f1", "--reason", "accepted_risk", "--ticket", "PRIV-12", "--until", f"{TODAY}")
MARKER = "Rosalind-0815-Quibble-Zanzibar"


@pytest.fixture
def home_warehouse(stack: Stack) -> Warehouse:
    """The warehouse that commands use."""
    warehouse = Warehouse(LOCAL_CONFIG, stack.bigquery)
    warehouse.ensure()
    return warehouse


@pytest.fixture
def gated(tiny_file: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Returns a function that writes a stream file with a gate for the tiny encoder."""

    def write(name: str) -> Path:
        path = tmp_path / f"{name}.yaml"
        path.write_text(
            f"stream: {name}\nmodality: text\nencoders: ['{tiny_file}']\nevent_id: {{pattern: '[a-z0-9-]{{1,64}}'}}\n"
            "leakage: {max: {words_f1: 0.5}, max_age: 90d}\n"
        )
        return path

    return write


def test_a_gate_holds_ingest_and_replay_until_an_audit_or_a_waiver_lets_the_encoder_pass(
    rawless: Rawless,
    gated: Callable[[str], Path],
    tiny_file: Path,
    tiny_sealed: EncoderSpec,
    home_warehouse: Warehouse,
    write_events: Callable[..., Path],
) -> None:
    stream, events = gated("gated_ingest"), write_events({"stream": "gated_ingest"}, {"stream": "gated_ingest"})
    source = ("--stream", stream, "--source", f"jsonl:{events}")
    own = {"stream": "gated_ingest", "encoder_fingerprint": tiny_sealed.fingerprint}

    for command in (("ingest",), ("replay", "--reason", "empty_text")):
        refused = rawless(*command, *source)
        assert refused.code == 2
        assert "The leakage gate of gated_ingest refuses" in refused.err
        assert "words_f1 must be at most 0.5, but no audit has measured it with 1,000 contents or more: " in refused.err
        assert ": run `rawless audit leakage" in refused.err

    audit(home_warehouse, **own, high=0.675, audited_at=datetime.now(UTC))
    checked = rawless("stream", "check", stream)
    assert checked.code == 0
    assert "Gate not passed by" in checked.out
    assert "words_f1 is up to 0.675" in checked.out

    granted = rawless("audit", "waive", "--stream", stream, "--encoder", tiny_file, *GRANT, "--json")
    assert granted.json["stream"] == "gated_ingest"
    passed = rawless("ingest", *source)
    assert (passed.code, "lets pass" in passed.err, "by PRIV-12" in passed.err) == (0, True, True)
    assert "2 events read, 2 embeddings" in passed.out
    assert "by PRIV-12" in rawless("replay", "--reason", "empty_text", *source).err

    audit(home_warehouse, **own, high=0.4, audited_at=datetime.now(UTC))
    passed = rawless("ingest", *source)
    assert (passed.code, passed.err) == (0, "")
    (metric,) = rawless("stream", "check", stream, "--json").json["gate"]
    assert (metric["state"], metric["measured"], metric["passes"]) == ("within", 0.4, True)


def test_a_waiver_is_recorded_with_the_account_and_listed(
    rawless: Rawless, tiny_file: Path, tiny_sealed: EncoderSpec
) -> None:
    name = ("--stream", "named_stream", "--encoder", tiny_file)

    done = rawless("audit", "waive", *name, *GRANT)

    assert done.code == 0, done.err
    assert f"until {TODAY + timedelta(days=1)} 00:00 UTC (accepted_risk, PRIV-12)" in done.out
    (row,) = [row for row in rawless("audit", "waivers", "--json").json if row["stream"] == "named_stream"]
    assert row["encoder_fingerprint"] == tiny_sealed.fingerprint
    assert (row["granted_by"], row["ticket"], row["valid"]) == (user_name(), "PRIV-12", True)


WRONG = {
    "a reason in words": ({"--reason": f"because {MARKER}"}, "--reason is not one of the codes accepted_risk, "),
    "a ticket in words": ({"--ticket": f"see {MARKER}"}, "--ticket is not the id of a ticket, such as PRIV-123"),
    "a metric in words": ({"--metric": MARKER}, "--metric is not the code of a metric"),
    "a day that is over": ({"--until": f"{TODAY - timedelta(days=1)}"}, "but a waiver is valid for at most 180 days"),
    "a day too far away": ({"--until": f"{TODAY + timedelta(days=181)}"}, "but a waiver is valid for at most 180 days"),
}


@pytest.mark.parametrize(("changed", "sentence"), WRONG.values(), ids=WRONG)
def test_a_waiver_without_a_code_a_ticket_or_an_end_is_refused(
    changed: dict[str, str], sentence: str, rawless: Rawless, tiny_file: Path
) -> None:
    given = {**dict(zip(GRANT[::2], GRANT[1::2], strict=True)), **changed}
    options = [part for pair in given.items() for part in pair]

    done = rawless("audit", "waive", "--stream", "refused_stream", "--encoder", tiny_file, *options)

    assert done.code == 2
    assert sentence in done.err
    assert MARKER not in done.out + done.err
    assert "refused_stream" not in rawless("audit", "waivers", "--json").out


def test_a_waiver_that_would_change_nothing_is_refused(
    rawless: Rawless, gated: Callable[[str], Path], stream_file: Path, tiny_file: Path
) -> None:
    def waive(stream: Path, encoder: str | Path, metric: str) -> str:
        done = rawless("audit", "waive", "--stream", stream, "--encoder", encoder, *GRANT, "--metric", metric)
        assert done.code == 2
        return done.err

    stream = gated("nothing_changed")
    assert f"--encoder is not one of nothing_changed: choose one of {tiny_file}." in waive(stream, "other", "words_f1")
    assert "--metric is not one of nothing_changed: choose one of words_f1." in waive(stream, tiny_file, "words_recall")
    assert "message has no leakage gate" in waive(stream_file, "minilm@1.0.0", "words_f1")

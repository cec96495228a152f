"""`rawless predict`: what it says, what it refuses, and that its options belong together."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from encoders.spec import EncoderSpec
from rawless.connect import LOCAL_CONFIG
from rawless.local.stack import Stack
from rawless.warehouse.client import Warehouse
from tests.adapters import upload
from tests.drawn_heads import write_head

Rawless = Callable[..., Any]


@pytest.fixture(scope="module")
def heads(tiny_sealed: EncoderSpec, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a head over the tiny encoder, of which the stream `to_predict` has four rows."""
    warehouse = Warehouse(LOCAL_CONFIG, stack.bigquery)
    warehouse.ensure()
    upload(warehouse, tiny_sealed, range(4), stream="to_predict")
    folder = tmp_path_factory.mktemp("heads")
    write_head(folder, "topic", spec=tiny_sealed)
    return folder


def test_stored_embeddings_are_predicted_once(rawless: Rawless, heads: Path) -> None:
    predict = ("predict", "topic@1", "--stored", "to_predict", "--heads", heads)

    assert "to_predict: 4 read, 4 predictions by topic@1 from vectors of tiny@1.0.0." in rawless(*predict).out
    assert "nothing to predict that topic@1 has not predicted yet" in rawless(*predict).out
    counts = rawless(*predict, "--json").json
    assert (counts["predictions"], counts["head"], counts["encoder"]) == (0, "topic@1", "tiny@1.0.0")
    read = "events.prediction(TIMESTAMP '2020-01-01', TIMESTAMP '2100-01-01')"
    count = f"SELECT COUNT(*) AS n FROM {read} WHERE stream = 'to_predict'"
    assert rawless("sql", count, "--json").json == [{"n": 4}]


def test_events_are_predicted_and_say_what_they_were_rejected_for(
    rawless: Rawless, heads: Path, tiny_file: Path, write_events: Callable[..., Path], tmp_path: Path
) -> None:
    stream = tmp_path / "stream.yaml"
    stream.write_text(
        f"stream: message\nmodality: text\nencoders: ['{tiny_file}']\nevent_id: {{pattern: '[A-Za-z0-9_-]{{1,64}}'}}\n"
    )
    predict = ("predict", "topic@1", "--stream", stream, "--heads", heads, "--device", "cpu", "--source")

    done = rawless(*predict, f"jsonl:{write_events({}, {'text': ''})}")
    assert "message: 2 read, 1 prediction by topic@1" in done.out
    assert "1 rejected: empty_text 1." in done.out

    done = rawless(*predict, f"jsonl:{write_events({'text': ''})}")
    assert done.code == 1
    assert "Nothing was predicted: all events that were read (1) were rejected (empty_text)" in done.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "Name what to predict by one of --source, --stored and --snapshot."),
        (["--stored", "a", "--snapshot", "b"], "by one of --source, --stored and --snapshot, not by several."),
        (["--source", "jsonl:x"], "--source needs --stream STREAM.yaml"),
        (["--stored", "a", "--stream", "s.yaml"], "--stream goes with --source, not with --stored: leave it out."),
        (["--stored", "a", "--device", "cpu"], "--device goes with --source"),
        (["--snapshot", "a", "--from", "2026-01-01"], "--from goes with --stored, not with --snapshot"),
        (["--stored", "nowhere"], "There are no embeddings of a stream 'nowhere'"),
        (["--stored", "to_predict", "--", "--nonsense=1"], "The Beam option --nonsense is unknown"),
        (["--stored", "to_predict", "--from", "2026-02-01", "--until", "2026-01-01"], "--from must be before --until"),
        (["--stored", "a", "--from", "2026-13-01"], "for '--from': '2026-13-01' does not match"),
        (["--stored", "to_predict", "--minimum-confidence", "0"], "--minimum-confidence is 0, but must be above"),
    ],
)
def test_mistakes_are_answered_with_one_sentence(rawless: Rawless, heads: Path, options: list[str], words: str) -> None:
    named, beam = (options[: options.index("--")], options[options.index("--") :]) if "--" in options else (options, [])
    done = rawless("predict", "topic@1", "--heads", heads, *named, *beam)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert words in done.err


def test_messages_are_for_services(rawless: Rawless, heads: Path, stream_file: Path) -> None:
    source = "pubsub:projects/p/subscriptions/s"
    done = rawless("predict", "topic@1", "--heads", heads, "--stream", stream_file, "--source", source)
    assert done.code == 2
    assert "must be one of: bigquery:" in done.err

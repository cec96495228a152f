"""`rawless audit leakage`: what a privacy officer sees and what is recorded, and that nothing of a content is kept."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rawless.audit.search import Search
from rawless.connect import LOCAL_CONFIG
from rawless.local.stack import Stack
from rawless.warehouse.client import Warehouse

MARK = "parcel4711 of unguessable Wolverhampton"
Rawless = Callable[..., Any]


@pytest.fixture(autouse=True)
def _few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawless.audit.leakage.attack.RESAMPLES", 20)
    monkeypatch.setattr("rawless.audit.leakage.alignment.PAIRS", (1, 100))
    monkeypatch.setattr("rawless.audit.leakage.attributes.LABELLED", (20,))


def texts(count: int) -> list[str]:
    chance = np.random.default_rng(0)
    words = ["where", "is", "my", "parcel", "paid", "for", "two", "cat", "dog", "bird", "red", "blue", "big", "small"]
    return [f"{' '.join(chance.choice(words, 5))} {number} {MARK}" for number in range(count)]


@pytest.fixture
def aux(tmp_path: Path) -> Path:
    path = tmp_path / "aux.jsonl"
    lines = [json.dumps({"text": text, "topic": f"secret {number % 2}"}) for number, text in enumerate(texts(220))]
    path.write_text("\n".join([*lines, lines[0], "{"]))
    return path


@pytest.fixture
def stream_file(tmp_path: Path, tiny_file: Path) -> Path:
    path = tmp_path / "stream.yaml"
    limits = "{words_f1: 0.01, linkage_changed: 1, membership_tpr: 0.1}"
    path.write_text(
        f"stream: message\nmodality: text\nencoders: ['{tiny_file}']\nleakage: {{max: {limits}, max_age: 30d}}\n"
    )
    return path


def test_an_audit_is_printed_and_recorded_without_any_content(
    rawless: Rawless, stack: Stack, home: Path, tiny_file: Path, aux: Path, stream_file: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    left = tmp_path / "left"
    left.mkdir()
    monkeypatch.setenv("TMPDIR", str(left))
    monkeypatch.setattr(tempfile, "tempdir", str(left))
    options = ("--encoder", tiny_file, "--aux", aux, "--attribute", "topic", "--stream", stream_file)

    done = rawless("audit", "leakage", *options, "--json")

    rows = Warehouse(LOCAL_CONFIG, stack.bigquery).list_rows("leakage_audit_v1")
    recorded = {row["metric"]: row for row in rows if row["audit_id"] == done.json["audit_id"]}
    printed = {each["metric"]: each for each in done.json["measures"]}
    assert done.json["aux"] == {"read": 222, "used": 220, "repeated": 1, "unreadable": 1}
    assert recorded.keys() == printed.keys() >= {"words_f1", "planted_tokens_recall", "attribute_topic_20_gain"}
    one = recorded["words_f1"]
    assert (one["stream"], one["encoder_fingerprint"]) == ("message", done.json["fingerprint"])
    assert (one["auxiliary_rows"], one["attacked_rows"], one["allowed_max"]) == (200, 20, 0.01)
    assert (one["value"], one["high"], one["prior"]) == tuple(
        printed["words_f1"][name] for name in ("value", "high", "prior")
    )
    assert (printed["words_f1"]["passes"], printed["linkage_changed"]["passes"]) == (False, True)
    assert printed["linkage_same"]["passes"] is None
    assert "membership_tpr has a limit in the stream file, but this audit did not measure it" in done.err
    assert "The attacker had only 220 contents" in done.err
    search = Search([text.encode() for text in texts(220)])
    assert search.in_bytes((done.out + done.err).encode(), "output") == set()
    assert search.in_folder(left) == search.in_folder(home) == search.unread == set()


def test_a_table_is_printed(rawless: Rawless, tiny_file: Path, aux: Path) -> None:
    done = rawless("audit", "leakage", "--encoder", tiny_file, "--aux", aux, "--target", aux, "--attacker", tiny_file)

    assert "220 of 222 records of --aux were used; 1 repeat another and 1 cannot be read." in done.out
    assert MARK not in done.out + done.err
    assert done.code == 0


def test_an_audit_can_be_repeated(rawless: Rawless, tiny_file: Path, aux: Path) -> None:
    options = ("audit", "leakage", "--encoder", tiny_file, "--aux", aux, "--json", "--seed", "1")

    first, again = (rawless(*options).json["measures"] for _ in range(2))

    assert first == again


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--max-rows", "150"),
            "--aux has 150 different contents that tiny@1.0.0 accepts, of 222 records (1 malf",
        ),
        (
            ("--attribute", "colour"),
            "--attribute colour needs a column colour with two or more values: --aux has none.",
        ),
        (("--attribute", "Topic"), "--attribute is 'Topic', but must be at most 40 lower-case letters"),
        (("--attacker", "resnet18-seeded@1.0.0"), "--attacker resnet18-seeded@1.0.0 takes image, but tiny@1.0.0 takes"),
        (("--target", "none.txt"), "--target names none.txt, but there is no such file"),
        (("--encoder", "resnet18-seeded@1.0.0", "--stream", "STREAM"), "The modality of stream message is text"),
    ],
)
def test_what_cannot_be_audited_is_refused(
    rawless: Rawless, tiny_file: Path, aux: Path, stream_file: Path, options: tuple[str, ...], message: str
) -> None:
    given = [stream_file if each == "STREAM" else each for each in options]

    done = rawless("audit", "leakage", "--encoder", tiny_file, "--aux", aux, *given)

    assert done.code == 2
    assert message in done.err


def test_texts_without_common_words_are_refused(rawless: Rawless, tiny_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "numbers.txt"
    path.write_text("\n".join(str(number) for number in range(300)))

    done = rawless("audit", "leakage", "--encoder", tiny_file, "--aux", path)

    assert "--aux has 0 words that are in two or more of its texts, but the attacks on words need 10" in done.err
    assert done.code == 2

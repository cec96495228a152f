"""`rawless encoder compare`: how far two encoders are apart on the same content or events, without printing any."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoders.catalogue import lookup
from encoders.seal import seal
from encoders.spec import EncoderSpec
from rawless.heads.examples import open_task
from rawless.heads.publish import publish_trained
from rawless.heads.spec import head_spec
from rawless.heads.training import train
from rawless.warehouse.append import append_all
from tests.shop import EVENTS, Shop, make_row

MARK = "parcel4711"
Rawless = Callable[..., Any]


@pytest.fixture
def other_file(tiny_spec: Callable[..., EncoderSpec], tmp_path: Path) -> Path:
    """A file with a sealed spec of the tiny encoder in bf16."""
    file = tmp_path / "half.yaml"
    file.write_text(seal(tiny_spec(name="half", precision="bf16", tolerance=0.05)).model_dump_json())
    return file


def write_folder(folder: Path) -> Path:
    (folder / "deeper").mkdir(parents=True)
    for number in range(5):
        (folder / "deeper" / f"{number}.txt").write_text(f"where is my {MARK} {number}")
    (folder / "empty.txt").write_text("")
    (folder / "large.txt").write_text("a " * 500_001)
    (folder / "not utf-8.txt").write_bytes(b"\xff")
    return folder


def test_the_vectors_of_two_precisions_are_compared_on_a_folder(
    rawless: Rawless, tiny_file: Path, other_file: Path, tmp_path: Path
) -> None:
    source = f"files:{write_folder(tmp_path / 'texts')}"

    found = rawless("encoder", "compare", tiny_file, other_file, "--source", source, "--json").json
    shown = rawless("encoder", "compare", tiny_file, other_file, "--source", source)

    assert (found["items"], found["compared"], found["unreadable"], found["rejected_by_both"]) == (8, 5, 1, 2)
    assert 0.99 < found["smallest_cosine"] <= found["median_cosine"] < 1
    assert 1e-5 < found["largest_difference"] < 0.05
    assert "8 items, of which both encoders accept 5.\n1 cannot be read.\n2 are rejected by both.\n" in shown.out
    assert MARK not in shown.out + shown.err


def test_an_encoder_equals_itself_on_lines(rawless: Rawless, tiny_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    events = [{"event_id": str(number), "text": f"cat {number}"} for number in range(3)]
    file.write_text("".join(json.dumps(event) + "\n" for event in events) + "{\n")

    found = rawless("encoder", "compare", tiny_file, tiny_file, "--source", f"jsonl:{file}", "--json").json

    assert (found["items"], found["compared"], found["unreadable"]) == (4, 3, 1)
    assert found["smallest_cosine"] == pytest.approx(1)
    assert found["largest_difference"] == 0


@pytest.mark.parametrize(
    ("other", "source", "message"),
    [
        ("minilm@1.0.0", "files:.", "tiny@1.0.0 has the dimension 16, but minilm@1.0.0 has 384"),
        ("resnet18-seeded@1.0.0", "files:.", "tiny@1.0.0 has the modality text, but resnet18-seeded@1.0.0 has image"),
        (None, "folder", "--source is 'folder', but must be files:FOLDER or jsonl:FILE."),
        (None, "files:none-here", "--source names files:none-here, but that is not a folder"),
        (None, "files:EMPTY", "--source has no item that both encoders accept"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    rawless: Rawless, tiny_file: Path, tmp_path: Path, other: str | None, source: str, message: str
) -> None:
    done = rawless(
        "encoder", "compare", tiny_file, other or tiny_file, "--source", source.replace("EMPTY", str(tmp_path))
    )

    assert done.code == 2
    assert message in done.err


@pytest.fixture
def compared(shop: Shop, tmp_path: Path) -> tuple[Path, Path]:
    """Spec files of an encoder with a head below `tmp_path`, and of one whose vectors are turned by half."""
    first = lookup("minilm@1.0.0").model_copy(update={"name": "compared"})
    second = first.model_copy(update={"version": "1.0.1", "training_domain": "other"})
    files = []
    for spec in (first, second):
        own = {"encoder": spec.name, "encoder_version": spec.version, "encoder_fingerprint": spec.fingerprint}
        rows = []
        for number in range(EVENTS):
            vector = np.random.default_rng(number).standard_normal(384, np.float32)
            vector += 1 if number % 2 else -1
            rows.append(make_row(number, {**own, "embedding": -vector if spec is second else vector}))
        append_all(shop.warehouse, rows)
        files.append(tmp_path / f"{spec.version}.yaml")
        files[-1].write_text(spec.model_dump_json())
    split = {"by": "person", "train": 0.5, "validation": 0.1, "test": 0.4, "salt": "a"}
    snapshot = shop.build(dataset="compared", encoder=first.ref, rules=None, split=split).manifest
    head = head_spec({"head": "turned", "snapshot": snapshot.snapshot_id, "kind": "linear", "learning_rate": 0.05})
    publish_trained(shop.warehouse, train(open_task(shop.warehouse, head, snapshot), lambda _: None), tmp_path)
    return files[0], files[1]


def test_on_events_a_rotation_is_reported_as_harmless_to_neighbours_and_fatal_to_old_heads(
    rawless: Rawless, compared: tuple[Path, Path], tmp_path: Path
) -> None:
    command = ("encoder", "compare", *compared, "--stream", "upload", "--heads", tmp_path, "--k", "5")
    found = rawless(*command, "--json").json
    shown = rawless(*command)

    assert (found["rows"], found["persons"], found["k"], found["is_rotation"]) == (EVENTS, 40, 5, True)
    assert {each["name"]: round(each["value"], 6) for each in found["pairs"]} == {
        "neighbour overlap": 1,
        "linear CKA": 1,
        "Procrustes residual": 0,
    }
    (head,) = found["heads"]
    assert (head["head"], head["holds"], head["reasons"]) == ("turned@1", False, [])
    assert head["unchanged_difference"]["high"] < -0.2
    assert head["refitted_difference"]["low"] > -0.1
    assert (found["compatible"], found["bump"]) == (False, "minor")
    assert found["verdict"].startswith("Make it a minor version, compared@1.1.0: the accuracy of turned@1, unchanged")
    assert shown.code == 0
    assert "compared@1.0.1 is compared@1.0.0 rotated: harmless to neighbours, fatal to old heads." in shown.out
    assert found["verdict"] in shown.out
    assert '"e-' not in json.dumps(found)
    assert "person-1" not in json.dumps(found) + shown.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "Name either --stream, to compare on logged events, or --source"),
        (("--stream", "upload", "--source", "files:."), "Name either --stream"),
        (("--adapter", "a@1.0.0", "--source", "files:."), "--adapter is compared on logged events: name --stream"),
        (("--stream", "upload", "--picture", "map.png"), "--picture is map.png, but must be a file .html or .svg"),
        (("--stream", "none_here"), "No event of none_here has vectors of both tiny@1.0.0 and minilm@1.0.0"),
    ],
)
def test_what_cannot_be_compared_on_events_is_refused(
    rawless: Rawless, tiny_file: Path, options: tuple[str, ...], message: str
) -> None:
    done = rawless("encoder", "compare", tiny_file, "minilm@1.0.0", *options)

    assert done.code == 2
    assert message in done.err

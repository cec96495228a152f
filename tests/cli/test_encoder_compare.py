"""`rawless encoder compare`: how far two encoders are apart on the same content, without printing any."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from encoders.seal import seal
from encoders.spec import EncoderSpec

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

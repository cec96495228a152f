"""`rawless init`: from a file or folder to a trained head by exactly the commands that it prints."""

import csv
import os
import pty
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from rawless.scaffold.files import NOW
from tests.cli.conftest import Outcome

Rawless = Callable[..., Outcome]
SECRET = "Rosalind"


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_tickets(path: Path) -> Path:
    """Write 120 texts with two labels, which the tiny encoder can tell apart."""
    words = {"parcel": "where is my parcel", "pet": "two cat dog bird"}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["ticket", "created", "customer_id", "message", "topic"])
        for number in range(120):
            topic = [*words][number % 2]
            writer.writerow([f"T-{number:04d}", "2026-10-01", f"{SECRET}-{number % 40}", words[topic], topic])
    return path


def run_printed(rawless: Rawless, printed: str) -> list[Outcome]:
    """Run the commands that init printed, but the service, which would not end."""
    lines = [line.strip() for line in printed.splitlines() if line.startswith("  rawless ")]
    assert "rawless serve" in lines[-1]
    outcomes = []
    for line in lines[:-1]:
        words = shlex.split(line.replace(NOW, "NOW"))
        now = datetime.now(UTC).isoformat()
        outcomes.append(rawless(*(now if word == "NOW" else word for word in words[1:])))
        assert outcomes[-1].code == 0, f"{line}: {outcomes[-1].err}"
    return outcomes


def test_a_table_of_texts_becomes_a_head_by_the_printed_commands(
    rawless: Rawless, tmp_path: Path, tiny_file: Path
) -> None:
    source = write_tickets(tmp_path / "init_texts.csv")

    made = rawless("init", "--from", source.name, "--events", "events.jsonl", "--encoder", tiny_file)

    assert made.code == 0, made.err
    outcomes = run_printed(rawless, made.out)
    assert "120 events read, 120 embeddings" in outcomes[1].out
    assert "init_texts@1: linear over tiny@1.0.0" in outcomes[4].out
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name not in (source.name, "events.jsonl")]
    assert len(files) == 6
    assert [path for path in files if SECRET in path.read_text() or "where is" in path.read_text()] == []
    assert {path.stat().st_mode & 0o077 for path in files} == {0}
    assert SECRET not in made.out + made.err


@pytest.mark.full
def test_a_folder_of_images_becomes_a_dataset_whose_labels_are_its_folders(rawless: Rawless, tmp_path: Path) -> None:
    for name, colour in (("red ones", "red"), ("blue", "blue")):
        (tmp_path / "init_images" / name).mkdir(parents=True)
        for number in range(30):
            shade = tuple(value // (1 + number % 3) for value in Image.new("RGB", (1, 1), colour).getpixel((0, 0)))  # type: ignore[union-attr]
            Image.new("RGB", (16, 16), shade).save(tmp_path / "init_images" / name / f"{SECRET} é {number}.png")

    made = rawless("init", "--from", "init_images", "--events", "events.jsonl")

    assert made.code == 0, made.err
    outcomes = run_printed(rawless, made.out)
    assert "60 embeddings" in outcomes[1].out
    assert "red_ones" in outcomes[3].out
    assert list((tmp_path / "init_images").rglob("*.yaml")) == []


def test_nothing_is_replaced_without_force_and_nothing_is_written_then(rawless: Rawless, tmp_path: Path) -> None:
    write_tickets(tmp_path / "tickets.csv")
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "head.yaml").write_text("mine")
    arguments = ("init", "--from", "tickets.csv", "--events", "events.jsonl", "--to", "made")

    refused = rawless(*arguments)

    assert (refused.code, refused.out) == (2, "")
    assert refused.err == "Error: made/head.yaml exists: choose another folder by --to, or add --force to replace it.\n"
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["head.yaml", "tickets.csv"]
    assert rawless(*arguments, "--force").code == 0
    assert "kind: linear" in (tmp_path / "made" / "head.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Without a terminal to ask on, init needs --name, --modality, --classes"),
        (("--name", "a", "--modality", "text"), "init needs --classes: add them, or name your data by --from."),
        (("--name", "A b", "--modality", "text", "--classes", "x,y"), "--name is 'A b', but must be at most 50 of a-z"),
        (("--name", "a", "--modality", "text", "--classes", "x"), "The classes must be 2 to 1,000 different names"),
        (("--from", "nothing.csv"), "--from names nothing.csv, which does not exist"),
        (("--from", "tickets.csv"), "has no column event_id: name a file by --events FILE.jsonl"),
        (("--from", "tickets.csv", "--label", "topics"), "(did you mean topic?)"),
        (("--from", "tickets.csv", "--modality", "text"), "leave them out"),
        (("--from", "tickets.csv", "--events", "e", "--encoder", "resnet18-seeded@1.0.0"), "takes image, but"),
        (("--label", "topic"), "belong to a source: name it by --from"),
        (("--from", "."), "has no images that can be listed"),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong_is_named(
    rawless: Rawless, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    write_tickets(tmp_path / "tickets.csv")

    refused = rawless("init", *arguments)

    assert (refused.code, refused.out) == (2, "")
    assert words in refused.err
    assert [path.name for path in tmp_path.iterdir()] == ["tickets.csv"]


def test_options_alone_make_files_that_are_valid(rawless: Rawless, tmp_path: Path) -> None:
    made = rawless("init", "--name", "reviews", "--modality", "text", "--classes", "good,bad")

    assert made.code == 0, made.err
    assert rawless("stream", "check", "reviews/stream.yaml").code == 0
    assert "jsonl:EVENTS.jsonl" in made.out


@pytest.mark.full
def test_on_a_terminal_each_question_has_a_default_and_a_wrong_answer_is_asked_again(tmp_path: Path) -> None:
    write_tickets(tmp_path / "tickets.csv")
    answers = ["", "", "", "", "customer", "customer_id", "", "", "made", "events.jsonl"]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "rawless", "init", "--from", "tickets.csv"],
        stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True,
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, "".join(f"{answer}\n" for answer in answers).encode() + b"\x04")  # the end of input
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # the terminal is closed
        pass

    assert process.wait() == 0, shown
    assert b"(did you mean customer_id?)" in shown
    assert SECRET.encode() not in shown
    assert "subject: required" in (tmp_path / "made" / "stream.yaml").read_text()
    assert (tmp_path / "events.jsonl").read_text().count("\n") == 120

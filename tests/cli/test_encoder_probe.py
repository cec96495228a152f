"""`rawless encoder probe`: what is wrong with its options is said before anything is encoded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Rawless = Callable[..., Any]


def test_a_picture_in_a_folder_that_does_not_exist_is_refused_at_once(
    rawless: Rawless, tiny_file: Path, tmp_path: Path
) -> None:
    files = ("--head", tmp_path / "head.yaml", "--stream", tmp_path / "stream.yaml", "--source", "jsonl:events.jsonl")
    done = rawless("encoder", "probe", tiny_file, *files, "--layers", "1", "--picture", tmp_path / "none" / "probe.svg")
    assert (done.code, done.out) == (2, "")
    assert "probe.svg, but its folder does not exist: create it" in done.err

"""`rawless audit frontier`: what defences give and cost, from a file of contents that leaves no trace."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from rawless.audit.search import Search

MARK = "qzx4711"
Rawless = Callable[..., Any]


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Texts of an animal, which is the label, a verb and a rare word, each with a marker."""
    path, generator = tmp_path / "labelled.jsonl", np.random.default_rng(0)
    rows = []
    for number in range(300):
        animal, verb = (generator.choice(each) for each in (("cat", "dog"), ("paid", "where")))
        name = "".join(generator.choice(list("abcdefgh"), 2))
        rows.append({"text": f"{verb} {animal} {name} {MARK}{number}", "animal": animal, "verb": verb})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_defences_are_measured_and_drawn_and_no_content_is_left(
    rawless: Rawless, tiny_file: Path, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, out = tmp_path / "left", tmp_path / "out"
    left.mkdir()
    out.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(left))
    grid = ("none", "noise:9", "learned")
    options = ("--label", "animal", "--attribute", "verb", "--out", out / "frontier.svg", "--json")

    done = rawless(
        "audit", "frontier", "--encoder", tiny_file, "--aux", labelled, *options,
        *(part for name in grid for part in ("--defences", name)),
    )  # fmt: skip

    points = {point["defence"]: point for point in done.json["points"]}
    assert list(points) == list(grid)
    assert points["learned"]["dimension"] == 1
    assert {"words_f1", "attribute_verb_100_auc"} == set(points["none"]["leakage"]) == set(done.json["prior"])
    assert points["none"]["epsilon"] is None
    assert points["noise:9"]["epsilon"] < 1
    assert points["noise:9"]["steps"]["noise"] == {"sigma": 9}
    drawn = (out / "frontier.svg").read_text()
    assert sum(name in "".join(ElementTree.fromstring(drawn).itertext()) for name in grid) == len(grid)
    search = Search([f"{MARK}{number}".encode() for number in range(300)])
    traces = search.in_bytes((done.out + done.err).encode(), "output")
    assert traces | search.in_folder(left) | search.in_folder(out) == set()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--label", "colour"), "no record has the column colour"),
        (("--label", "animal", "--defences", "rotate:3"), "a step is truncate:N, project:N, learned"),
        (("--label", "animal", "--defences", "truncate:99"), "truncate must be less than full_dimension"),
        (("--label", "animal", "--defences", "learned+truncate:4"), "chooses its directions itself"),
        (("--label", "animal", "--out", "frontier.png"), "ends in .svg"),
        (("--label", "animal", "--max-rows", "50"), "at least 100 are needed"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: tuple[str, ...], message: str, rawless: Rawless, tiny_file: Path, labelled: Path
) -> None:
    done = rawless("audit", "frontier", "--encoder", tiny_file, "--aux", labelled, *options)
    assert done.code == 2
    assert message in done.err
    assert MARK not in done.err


def test_a_defence_that_is_none_is_refused_before_anything_is_read(rawless: Rawless, tiny_file: Path) -> None:
    done = rawless(
        "audit", "frontier", "--encoder", tiny_file, "--aux", "missing.jsonl", "--label", "animal",
        "--defences", "rotate:3",
    )  # fmt: skip

    assert done.code == 2
    assert "a step is truncate:N, project:N, learned" in done.err

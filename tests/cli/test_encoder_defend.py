"""`rawless encoder defend`: a defended encoder in one command, whose learning leaves nothing of the contents."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from encoders.catalogue import lookup
from encoders.encoder import Encoded
from encoders.load import load
from rawless.audit.search import Search
from rawless.privacy import Raw

MARK = "qzx4711"
Rawless = Callable[..., Any]
ANIMALS, PLACES = ("cat", "dog", "bird"), ("my", "two")


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Texts with an animal and a place, and a marker in each."""
    path, generator = tmp_path / "labelled.jsonl", np.random.default_rng(0)
    rows = [
        {
            "text": f"{place} {animal} {generator.choice(['paid', 'for', 'where', '?'])} {MARK}{number}",
            "animal": animal,
            "place": place,
        }
        for number, (animal, place) in enumerate((a, p) for _ in range(10) for a in ANIMALS for p in PLACES)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_an_encoder_is_defended_by_options_and_says_what_that_guarantees(
    rawless: Rawless, tiny_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "quiet.yaml"
    options = ("--truncate", "8", "--noise", "0.5", "--quantise", "8", "--out", out)
    made = rawless("encoder", "defend", tiny_file, "--as", "quiet@1.0.0", *options, "--json").json
    shown = rawless("encoder", "show", out)

    spec = lookup(str(out))
    assert (spec.fingerprint, spec.dimension, spec.parent) == (made["fingerprint"], 8, "tiny@1.0.0")
    steps = {"full_dimension": 16, "truncate": 8, "clip": 1.0, "noise": {"sigma": 0.5}, "quantise": {"bits": 8}}
    assert spec.identity()["defence"] == steps
    epsilons = [row["epsilon"] for row in made["differential_privacy"]["records"]]
    assert epsilons == sorted(epsilons)
    assert all(f"{each:,.1f}" in shown.out for each in epsilons)
    assert "not of ids, times, attributes or logged predictions" in shown.out


def test_a_learned_projection_keeps_one_label_loses_another_and_leaves_no_content(
    rawless: Rawless, tiny_file: Path, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, out = tmp_path / "left", tmp_path / "specs" / "kept.yaml"
    left.mkdir()
    out.parent.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(left))
    options = ("--learn", labelled, "--keep", "animal", "--lose", "place", "--lose-words", "3", "--out", out)

    done = rawless("encoder", "defend", tiny_file, "--as", "kept@1.0.0", *options)

    assert done.code == 0, done.err
    search = Search([f"{MARK}{number}".encode() for number in range(60)])
    traces = search.in_bytes((done.out + done.err).encode(), "output")
    assert traces | search.in_folder(left) | search.in_folder(out.parent) == set()
    rows = [json.loads(line) for line in labelled.read_text().splitlines()]
    spec = lookup(str(out))
    assert spec.dimension == 2
    outcomes = load(spec, "cpu").encode([Raw(row["text"].encode()) for row in rows])
    vectors = np.stack([each.vector for each in outcomes if isinstance(each, Encoded)])
    spread = vectors.std(axis=0).mean()
    by = {
        column: [vectors[[row[column] == value for row in rows]].mean(axis=0) for value in values]
        for column, values in (("animal", ANIMALS), ("place", PLACES))
    }
    assert np.linalg.norm(by["animal"][0] - by["animal"][1]) > spread
    assert by["place"][0] == pytest.approx(by["place"][1], abs=1e-3 * spread)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--keep", "animal"), "add --learn FILE"),
        (("--learn", "FILE"), "name a column by --keep"),
        (("--learn", "FILE", "--keep", "colour"), "in which no record has the column colour"),
        (("--learn", "FILE", "--keep", "animal", "--truncate", "4"), "leave --truncate and --project out"),
        (("--learn", "FILE", "--keep", "animal", "--dimension", "17"), "--dimension is 17, but the encoder's vectors"),
        ((), "name at least one step"),
        (("--truncate", "99"), "truncate must be less than full_dimension"),
        (("--noise", "-1"), "defence.noise.sigma is -1.0"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: tuple[str, ...], message: str, rawless: Rawless, tiny_file: Path, labelled: Path, tmp_path: Path
) -> None:
    given = [labelled if option == "FILE" else option for option in options]
    done = rawless("encoder", "defend", tiny_file, "--as", "x@1.0.0", *given, "--out", tmp_path / "x.yaml")
    assert done.code == 2
    assert message in done.err
    assert MARK not in done.err
    assert not (tmp_path / "x.yaml").exists()


def test_a_version_that_is_too_low_and_a_second_defence_are_refused(
    rawless: Rawless, tiny_file: Path, tmp_path: Path
) -> None:
    def defend(encoder: Path, ref: str, *options: str) -> Any:
        return rawless("encoder", "defend", encoder, "--as", ref, *options, "--out", tmp_path / f"{ref}.yaml")

    assert "use tiny@1.1.0 or a later version" in defend(tiny_file, "tiny@1.0.1", "--clip", "1").err
    assert "use tiny@2.0.0 or a later version" in defend(tiny_file, "tiny@1.1.0", "--truncate", "8").err
    assert defend(tiny_file, "tiny@1.1.0", "--clip", "1").code == 0
    again = defend(tmp_path / "tiny@1.1.0.yaml", "again@1.0.0", "--clip", "1")
    assert "has a defence already: defend the encoder that it was made of, tiny@1.0.0" in again.err
    assert yaml.safe_load((tmp_path / "tiny@1.1.0.yaml").read_text())["parent"] == "tiny@1.0.0"


def test_a_learned_projection_needs_files_to_lie_beside(rawless: Rawless, labelled: Path, tmp_path: Path) -> None:
    options = ("--as", "x@1.0.0", "--learn", labelled, "--keep", "animal", "--out", tmp_path / "x.yaml")
    done = rawless("encoder", "defend", "resnet18-seeded@1.0.0", *options)
    assert done.code == 2
    assert "drawn from a seed" in done.err

"""No marker in pixels, metadata, names or labels of images escapes from an audit of their vectors."""

import csv
import logging
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

import rawless.audit.leakage.attacks
from rawless.audit.search import Search, Trace
from rawless.cli.main import run
from rawless.local.stack import Stack
from tests.tiny_towers import Towers

MARKER = "Rosalind-0815-Quibble-Zanzibar"
COUNT = 222


@pytest.fixture(scope="module")
def files(towers: Towers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec file, and a CSV of images that contain the marker in all places."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "tiny.yaml").write_text(towers.image.model_dump_json())
    numbers, chance = np.frombuffer(MARKER.encode(), np.uint8), np.random.default_rng(1)
    with (folder / "images.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "owner"])
        for number in range(COUNT):
            pixels = np.tile(numbers, (28, 1)) if number % 2 else chance.integers(0, 256, (28, 30), np.uint8)
            pixels = pixels.copy()
            pixels[0, :3] = number, number // 2, 7  # no two are equal
            texts = PngImagePlugin.PngInfo()
            texts.add_text("Author", MARKER)
            content = BytesIO()
            Image.fromarray(pixels).save(content, "PNG", pnginfo=texts)
            (folder / f"{MARKER}-{number}.png").write_bytes(content.getvalue())
            writer.writerow([f"{MARKER}-{number}.png", f"{MARKER}-{number % 2}"])
        (folder / f"{MARKER}-cut.png").write_bytes(content.getvalue()[:60] + MARKER.encode())
        writer.writerow([f"{MARKER}-cut.png", MARKER])
        writer.writerow([f"{MARKER}-gone.png", MARKER])
    return folder


@pytest.fixture
def audit(
    files: Path,
    stack: Stack,
    home: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., tuple[int, str, set[Trace]]]:
    """Runs an audit of the images, and returns its exit code, its output and the traces of the marker."""
    temporary = tmp_path / "left"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr("rawless.audit.leakage.attack.RESAMPLES", 20)

    def go(*options: str) -> tuple[int, str, set[Trace]]:
        capfd.readouterr()
        command = ["audit", "leakage", "--encoder", f"{files}/tiny.yaml", "--aux", f"{files}/images.csv"]
        with caplog.at_level(logging.DEBUG):
            code = run([*command, "--attribute", "owner", "--device", "cpu", *options])
        shown = "".join(capfd.readouterr())
        output = [shown, caplog.text, *(repr(record.__dict__) for record in caplog.records)]
        search = Search([MARKER.encode()])
        traces = search.in_bytes("\n".join(output).encode(), "output")
        traces |= search.in_folder(temporary) | search.in_folder(home)
        return code, shown, traces

    return go


def test_no_marker_escapes_from_an_audit_that_writes_pictures(
    audit: Callable[..., tuple[int, str, set[Trace]]], tmp_path: Path, home: Path
) -> None:
    (tmp_path / "pictures").mkdir()

    code, shown, traces = audit("--pictures", str(tmp_path / "pictures"), "--json")
    refused, reason, _ = audit("--pictures", str(home))

    assert code == 0, shown
    assert traces == set()
    for metric in ("image_near_duplicate", "image_ssim", "image_reidentification", "image_attribute_owner_100_gain"):
        assert metric in shown
    assert '"psnr_of_mean": ' in shown
    assert '"pairs": 20' in shown
    (sheet,) = (tmp_path / "pictures").iterdir()
    with Image.open(sheet) as image:
        assert image.size == (8 * 132 - 4, 3 * 68 - 4)
    assert (refused, "in the home folder" in reason) == (2, True)


@pytest.mark.parametrize("broken", ["changed_copies", "pictures_of", "size_of_image"])
def test_no_marker_escapes_from_an_attack_that_raises(
    broken: str,
    audit: Callable[..., tuple[int, str, set[Trace]]],
    monkeypatch: pytest.MonkeyPatch,
    talkative: Callable[[str], Callable[..., NoReturn]],
) -> None:
    monkeypatch.setattr(rawless.audit.leakage.attacks, broken, talkative(MARKER))
    if broken == "size_of_image":
        table: Any = rawless.audit.leakage.attacks._METADATA
        monkeypatch.setitem(table, "image", talkative(MARKER))

    code, shown, traces = audit()

    assert (code, traces) == (1, set())
    assert "An attack failed (internal), and nothing was recorded" in shown

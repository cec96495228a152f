"""Promise 1 for images: a marker in pixels, EXIF, texts, profile or name of a file is found nowhere afterwards."""

import base64
import csv
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

import encoders.batch_encoder
import encoders.isolation
import encoders.pixels
import rawless.steps.encode
from encoders.catalogue import lookup
from encoders.load import load
from pipelines.ingest import Ingest
from rawless.audit.search import Trace
from rawless.events.sources import open_source
from rawless.events.stream import Stream
from rawless.privacy.pseudonyms import KeySource
from rawless.warehouse.client import Warehouse
from tests.encoders.planted_decoder import FAULTS, planted
from tests.streams import ANY_ID

MARKER = "Rosalind-0815-Quibble-Zanzibar"
NUMBERS = list(MARKER.encode())
PIXELS = Image.frombytes("L", (len(NUMBERS), 32), bytes(NUMBERS) * 32)
"""Every row of grey pixels is the marker."""


def _file(kind: str, picture: Image.Image = PIXELS, **options: Any) -> bytes:
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _profile() -> bytes:
    """A working ICC profile whose name is the marker."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    name = "sRGB built-in".encode("utf-16-be")
    assert name in profile
    return profile.replace(name, MARKER.encode("utf-16-be")[: len(name)])


def _pictures() -> Iterator[tuple[str, bytes]]:
    """Valid files with the marker in every place that can contain one."""
    exif, texts = Image.Exif(), PngImagePlugin.PngInfo()
    exif[ExifTags.Base.Artist] = exif[ExifTags.Base.ImageDescription] = MARKER
    texts.add_text("Author", MARKER)
    texts.add_text(MARKER, MARKER, zip=True)
    texts.add_itxt("Title", MARKER, zip=True)
    yield "pixels.png", _file("PNG")
    yield "pixels.bmp", _file("BMP")
    yield "pixels.webp", _file("WEBP", lossless=True)
    yield "exif.jpg", _file("JPEG", exif=exif, comment=MARKER, quality=100)
    yield "exif.webp", _file("WEBP", exif=exif.tobytes(), xmp=MARKER.encode())
    yield "exif.png", _file("PNG", exif=exif)
    yield "texts.png", _file("PNG", pnginfo=texts)
    yield "comment.gif", _file("GIF", comment=MARKER)
    yield "profile.png", _file("PNG", icc_profile=_profile())
    yield "profile.jpg", _file("JPEG", icc_profile=_profile())
    yield f"{MARKER}.png", _file("PNG")
    yield "tail.png", _file("PNG") + MARKER.encode()


def _broken() -> Iterator[tuple[str, bytes]]:
    """Files that must be rejected."""
    for name, content in _pictures():
        yield f"cut-{name}", content.removesuffix(MARKER.encode())[:-9]
        yield f"garbled-{name}", content[:20] + MARKER.encode() + content[60:]
    yield "text.png", MARKER.encode()
    yield "chunk.png", _file("PNG").replace(b"IHDR", MARKER.encode()[:4])
    yield "svg.png", f"<svg><text>{MARKER}</text></svg>".encode()
    yield "large.bmp", _file("BMP", PIXELS.resize((300, 300)))


@pytest.fixture
def pictures() -> Stream:
    return Stream.model_validate(
        {
            "stream": "picture",
            "modality": "image",
            "encoders": ["resnet18-seeded@1.0.0"],
            "event_id": ANY_ID,
            "attributes": {"channel": {"enum": ["app", "web"]}},
            "limits": {"max_bytes": 50_000},
        }
    )


@pytest.fixture
def run(
    key: KeySource, warehouse: Warehouse, searched: Callable[..., set[Trace]]
) -> Callable[[Stream, str, Path | None], set[Trace]]:
    """Runs the job over a source and returns the traces of the marker."""

    def go(stream: Stream, source: str, metadata: Path | None = None) -> set[Trace]:
        opened = open_source(source, stream, metadata)
        return searched(Ingest(stream, opened, (lookup(stream.encoders[0]),), key, warehouse, "cpu"), [MARKER.encode()])

    return go


@pytest.fixture
def uploads(tmp_path: Path) -> Callable[..., Path]:
    """Write files into a folder and the CSV that lists them, and return the path of the CSV."""

    def write(files: dict[str, bytes]) -> Path:
        (tmp_path / "uploads").mkdir()
        rows = []
        for number, (name, content) in enumerate(files.items()):
            (tmp_path / "uploads" / name).write_bytes(content)
            rows.append(_event(f"event-{number}") | {"file": name, "channel": "app", "note": MARKER})
        (tmp_path / "uploads" / f"unlisted {MARKER}.png").write_bytes(_file("PNG"))
        rows.append(_event("event-gone") | {"file": f"gone {MARKER}.png", "channel": MARKER, "note": ""})
        with (tmp_path / "metadata.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, [*rows[0]])
            writer.writeheader()
            writer.writerows(rows)
        return tmp_path / "metadata.csv"

    return write


def _event(event_id: str) -> dict[str, Any]:
    occurred_at = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    return {"event_id": event_id, "occurred_at": occurred_at, "subject_id": MARKER}


def test_no_marker_escapes_from_files(
    run: Callable[..., set[Trace]], uploads: Callable[..., Path], pictures: Stream, warehouse: Warehouse, tmp_path: Path
) -> None:
    valid, broken = dict(_pictures()), dict(_broken())
    metadata = uploads(valid | broken)

    assert run(pictures, f"files:{tmp_path}/uploads/*", metadata) == set()
    counts = warehouse.query(
        "SELECT (SELECT COUNT(*) FROM embedding_event_v1 WHERE occurred_at > '2000-01-01') AS embedded, "
        "(SELECT COUNT(*) FROM rejection_v1) AS rejected, "
        "(SELECT COUNT(*) FROM rejection_v1 WHERE reason IN ('internal', 'encoder_failed')) AS faults"
    )
    assert counts[0]["embedded"] >= len(valid)
    assert counts[0]["embedded"] + counts[0]["rejected"] == len(valid) + len(broken) + 2
    assert counts[0]["faults"] == 0


def test_no_marker_escapes_from_lines_and_objects(
    run: Callable[..., set[Trace]], write_events: Callable[..., Path], pictures: Stream, tmp_path: Path
) -> None:
    (tmp_path / "objects").mkdir()
    stream = pictures.model_copy(update={"uri_prefixes": (f"file://{tmp_path}/objects/",)})
    events = []
    for name, content in [*_pictures(), *_broken()]:
        (tmp_path / "objects" / f"{MARKER} {name}").write_bytes(content)
        whole = {"stream": "picture", "text": ..., "subject_id": MARKER}
        events.append(whole | {"payload_base64": base64.b64encode(content).decode()})
        events.append(whole | {"uri": f"file://{tmp_path}/objects/{MARKER}%20{name}"})
        events.append(whole | {"uri": f"file://{tmp_path}/elsewhere/{MARKER}%20{name}"})
        events.append(whole | {"uri": f"file://{tmp_path}/objects/gone%20{MARKER}%20{name}"})
        events.append(whole | {"uri": f"file://{tmp_path}/objects/../{MARKER}%20{name}"})

    assert run(stream, f"jsonl:{write_events(*events)}") == set()


@pytest.mark.parametrize("broken", ["read_header", "decode_pixels", "resize_and_crop_picture", "resized_size"])
def test_no_marker_escapes_from_a_decoder_that_raises(
    broken: str,
    run: Callable[..., set[Trace]],
    uploads: Callable[..., Path],
    pictures: Stream,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
    talkative: Callable[[str], Callable[..., NoReturn]],
    tmp_path: Path,
) -> None:
    metadata = uploads({"pixels.png": _file("PNG")})
    lookup_job = f"files:{tmp_path}/uploads/pixels.png"
    load(lookup(pictures.encoders[0]), "cpu")  # an encoder that is loaded while it is broken would be refused
    monkeypatch.setattr(encoders.batch_encoder.BatchEncoder, "_prepare_probe", lambda self: True)
    monkeypatch.setattr(encoders.isolation, "read_pixels", encoders.pixels.read_pixels)
    monkeypatch.setattr(encoders.pixels, broken, talkative(MARKER))

    assert run(pictures, lookup_job, metadata) == set()
    assert {"reason": "encoder_failed"} in warehouse.query("SELECT DISTINCT reason FROM rejection_v1")


def test_no_marker_escapes_from_a_decoder_that_dies_and_prints_what_it_decodes(
    run: Callable[..., set[Trace]],
    uploads: Callable[..., Path],
    pictures: Stream,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Each bad file costs its own event only."""
    shared = set(Path("/dev/shm").glob("*"))
    files = {name: _file("PNG") + name.encode() for name in ("crashes", "loops", "allocates")}
    metadata = uploads(files | {f"good-{number}": _file("PNG") for number in range(12)})
    with planted(monkeypatch):
        assert run(pictures, f"files:{tmp_path}/uploads/*", metadata) == set()

    rejected = warehouse.query("SELECT reason FROM rejection_v1 WHERE stage = 'encode'")
    assert sorted(row["reason"] for row in rejected) == sorted(FAULTS[name] for name in files)
    embedded = "SELECT COUNT(DISTINCT event_id) AS count FROM embedding_event_v1 WHERE occurred_at > '2000-01-01'"
    assert warehouse.query(embedded) == [{"count": 12}]
    assert set(Path("/dev/shm").glob("*")) == shared


def test_the_same_search_finds_pixels_that_leak(
    run: Callable[..., set[Trace]],
    uploads: Callable[..., Path],
    pictures: Stream,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Show that the tests above can fail: a step that logs an array of pixels is found."""
    metadata = uploads({"pixels.png": _file("PNG")})
    original = rawless.steps.encode._measure_lag

    def leaks(*arguments: Any) -> Any:
        logging.getLogger("some.library").warning("encoded %s", list(PIXELS.tobytes()))
        return original(*arguments)

    monkeypatch.setattr(rawless.steps.encode, "_measure_lag", leaks)

    traces = run(pictures, f"files:{tmp_path}/uploads/pixels.png", metadata)

    assert {trace.place for trace in traces} == {"output"}

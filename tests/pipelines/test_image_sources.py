"""Images and texts through every source: the same bytes have the same vector, and no file name is stored."""

import base64
import csv
import json
import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from encoders.catalogue import lookup
from encoders.encoder import Encoded, Encoder
from encoders.load import load
from pipelines import options
from pipelines.ingest import Ingest
from pipelines.run import run
from rawless.cli import main
from rawless.errors import Unavailable
from rawless.events import objects
from rawless.events.sources import open_source
from rawless.events.stream import Stream
from rawless.local.stack import Stack
from rawless.privacy import Raw
from rawless.privacy.pseudonyms import KeySource
from rawless.warehouse.client import Warehouse
from tests.object_server import Store
from tests.streams import ANY_ID

REF = "resnet18-seeded@1.0.0"
MARKER = "Rosalind-0815"
COLUMNS = ["file", "event_id", "occurred_at", "subject_id", "camera"]
EVER = "TIMESTAMP '1970-01-01', TIMESTAMP '2100-01-01'"
Ingested = Callable[..., dict[str, Any]]
Rows = Callable[[str], list[dict[str, Any]]]


def picture(seed: int, kind: str = "png", size: tuple[int, int] = (48, 36), mode: str = "RGB") -> bytes:
    """Return the file of an image of noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(noise, "RGBA").convert(mode).save(file, kind)
    return file.getvalue()


PICTURES = {
    "a.png": picture(1),
    "b c.jpg": picture(2, "jpeg"),
    "sub/ä, d.webp": picture(3, "webp"),
    "100%.gif": picture(4, "gif", mode="P"),
    "no ending": picture(5, mode="RGBA"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the images as files."""
    return fill(tmp_path / "pictures", PICTURES)


BAD = {"bad.txt": b"\xff\xfe", "empty.txt": b""}


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def pictures() -> Stream:
    """A stream of images."""
    return Stream.model_validate(
        {
            "stream": "picture",
            "modality": "image",
            "encoders": [REF],
            "event_id": ANY_ID,
            "attributes": {"camera": {"enum": ["front"]}},
        }
    )


@pytest.fixture
def ingest(warehouse: Warehouse, key: KeySource) -> Ingested:
    """Runs an ingest job over any source and returns its summary."""

    def go(stream: Stream, source: str, metadata: Path | None = None) -> dict[str, Any]:
        opened = open_source(source, stream, metadata)
        specs = tuple(lookup(ref) for ref in stream.encoders)
        return run(Ingest(stream, opened, specs, key, warehouse, "cpu"), options.parse([]), time.monotonic())

    return go


@pytest.fixture
def rows(warehouse: Warehouse) -> Rows:
    """What a reader of embedding events or rejections sees."""

    def read(function: str) -> list[dict[str, Any]]:
        return warehouse.query(f"SELECT * FROM {warehouse.config.events}.{function}({EVER}) ORDER BY event_id")

    return read


@pytest.fixture(scope="module")
def resnet() -> Encoder:
    return load(lookup(REF), "cpu")


def listed(path: Path, ids: dict[str, str]) -> Path:
    """A CSV with an event id for each file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows([name, event_id, _yesterday(), "customer-1", "front"] for name, event_id in ids.items())
    return path


def lines(path: Path, stream: str, payloads: dict[str, dict[str, Any]]) -> Path:
    """JSON lines with a payload for each event id."""
    common = {"occurred_at": _yesterday(), "stream": stream, "subject_id": "customer-1"}
    path.write_text(
        "".join(json.dumps({"event_id": key, **common, **payload}) + "\n" for key, payload in payloads.items())
    )
    return path


def _yesterday() -> str:
    return (datetime.now(UTC) - timedelta(days=1)).isoformat()


def test_the_same_images_through_every_source_have_the_vectors_of_the_encoder(
    ingest: Ingested,
    rows: Rows,
    folder: Path,
    store: Store,
    pictures: Stream,
    resnet: Encoder,
    tmp_path: Path,
) -> None:
    for name, content in PICTURES.items():
        store.put(f"uploads/{name}", content)
    local = f"file://{folder}/"
    stream = pictures.model_copy(update={"uri_prefixes": (local, "gs://bucket/uploads/")})
    metadata = listed(tmp_path / "m.csv", {name: f"files-{n}" for n, name in enumerate(PICTURES)})
    forms: dict[str, Callable[[str], dict[str, str]]] = {
        "base64": lambda name: {"payload_base64": base64.b64encode(PICTURES[name]).decode()},
        "local": lambda name: {"uri": local + name.replace("%", "%25").replace(" ", "%20")},
        "bucket": lambda name: {"uri": f"gs://bucket/uploads/{name}"},
    }

    summaries = [ingest(stream, f"files:{folder}/**", metadata)]
    for form, payload in forms.items():
        events = {f"{form}-{number}": payload(name) for number, name in enumerate(PICTURES)}
        summaries.append(ingest(stream, f"jsonl:{lines(tmp_path / 'events.jsonl', 'picture', events)}"))

    for summary in summaries:
        assert (summary["read"], summary["embeddings"], summary["rejections"]) == (len(PICTURES), len(PICTURES), {})
    direct = resnet.encode([Raw(content) for content in PICTURES.values()])
    found = {row["event_id"]: np.array(row["embedding"], dtype=np.float32) for row in rows("embedding_event")}
    assert len(found) == 4 * len(PICTURES)
    for number, encoded in enumerate(direct):
        assert isinstance(encoded, Encoded)
        for source in ("files", *forms):
            assert np.array_equal(found[f"{source}-{number}"], encoded.vector)
    assert len({encoded.vector.tobytes() for encoded in direct if isinstance(encoded, Encoded)}) == len(PICTURES)


def test_a_text_by_uri_has_the_vector_of_the_encoder(
    ingest: Ingested, rows: Rows, stream: Stream, minilm: Encoder, store: Store, tmp_path: Path
) -> None:
    texts = {"a.txt": "Where is my parcel?", "b.txt": "Grüße aus Köln, 世界!"}
    folder = fill(tmp_path / "texts", {name: text.encode() for name, text in texts.items()})
    for name, content in ({name: text.encode() for name, text in texts.items()} | BAD).items():
        store.put(name, content)
    stream = stream.model_copy(update={"uri_prefixes": ("gs://bucket/", f"file://{folder}/")})
    uris = [f"{prefix}{name}" for prefix in stream.uri_prefixes for name in texts]
    uris += ["gs://bucket/bad.txt", "gs://bucket/empty.txt", "gs://bucket/none.txt", "gs://other/a.txt"]
    events = {f"e-{number}": {"uri": uri} for number, uri in enumerate(uris)}

    summary = ingest(stream, f"jsonl:{lines(tmp_path / 'events.jsonl', 'message', events)}")

    direct = minilm.encode([Raw(text.encode()) for text in [*texts.values()] * 2])
    found = [np.array(row["embedding"], dtype=np.float32) for row in rows("embedding_event")]
    assert len(found) == 4
    for vector, encoded in zip(found, direct, strict=True):
        assert isinstance(encoded, Encoded)
        assert np.abs(vector - encoded.vector).max() <= minilm.spec.tolerance
    assert summary["rejections"] == {
        "empty_text": 1,
        "invalid_utf8": 1,
        "object_not_found": 1,
        "payload_uri_forbidden": 1,
    }


def test_the_limits_of_the_stream_apply_to_files_and_objects(
    ingest: Ingested, rows: Rows, pictures: Stream, tmp_path: Path
) -> None:
    expected = {
        "good.png": (picture(1, size=(500, 400)), None),
        "wide.png": (picture(2, size=(501, 400)), "too_many_pixels"),
        "long.png": (picture(3, size=(601, 300)), "too_many_pixels"),
        "other.jpg": (picture(4, "jpeg"), "unsupported_image_format"),
        "text.png": (b"my card ends in 4711", "unsupported_image_format"),
        "cut.png": (picture(5)[:-500], "undecodable_image"),
        "empty.png": (b"", "empty_payload"),
        "large.png": (picture(6) + bytes(700_000), "payload_too_large"),
    }
    limits = {"max_pixels": 200_000, "max_side": 600, "formats": ("png",), "max_bytes": 700_000}
    folder = fill(tmp_path / "pictures", {name: content for name, (content, _) in expected.items()})
    (folder / "folder.png").mkdir()
    prefix = f"file://{folder}/"
    limited = {"limits": pictures.limits.model_copy(update=limits), "uri_prefixes": (prefix,)}
    stream = pictures.model_copy(update=limited)
    reasons = {name: reason for name, (_, reason) in expected.items()}
    reasons |= {"none.png": "object_not_found", "folder.png": "object_not_found"}
    ids = {name: name.replace(".", "-") for name in reasons}
    counts = Counter(reason for reason in reasons.values() if reason)

    by_files = ingest(stream, f"files:{folder}/*", listed(tmp_path / "m.csv", ids))
    events = {f"{ids[name]}-uri": {"uri": prefix + name} for name in ids}
    by_uri = ingest(stream, f"jsonl:{lines(tmp_path / 'events.jsonl', 'picture', events)}")

    for summary in (by_files, by_uri):
        assert summary["rejections"] == counts
        assert summary["read"] == summary["embeddings"] + sum(counts.values()) == len(reasons)
    assert [row["event_id"] for row in rows("embedding_event")] == ["good-png", "good-png-uri"]
    by_id = {row["event_id"]: row["reason"] for row in rows("rejection")}
    assert by_id == {f"{ids[name]}{end}": reason for name, reason in reasons.items() if reason for end in ("", "-uri")}
    assert {len(row["subject_key"]) for row in rows("rejection")} == {64}


def test_every_row_and_every_file_is_counted_and_no_file_name_is_written(
    ingest: Ingested,
    rows: Rows,
    pictures: Stream,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    names = [f"{MARKER}-{number}.png" for number in range(5)]
    folder = fill(tmp_path / "pictures", dict.fromkeys(names, PICTURES["a.png"]))
    (folder / f"{MARKER}-broken.png").write_bytes(PICTURES["a.png"][:40])
    (folder / f"{MARKER}-out.png").symlink_to("/etc/passwd")
    known = [names[0], f"{MARKER}-broken.png", f"{MARKER}-out.png", f"{MARKER}-none.png"]
    metadata = listed(tmp_path / "m.csv", {name: f"e-{number}" for number, name in enumerate(known)})
    with metadata.open("a", encoding="utf-8") as file:
        file.write(f"{names[1]},{MARKER} is no id,{_yesterday()},customer-1,{MARKER}\n")
        file.write(f"{names[2]},{MARKER}\n\n")

    with caplog.at_level(logging.DEBUG):
        summary = ingest(pictures, f"files:{folder}/*", metadata)

    assert summary["rejections"] == {
        "bad_event_id": 1,
        "malformed_event": 1,
        "missing_event_id": 3,
        "object_not_found": 1,
        "payload_uri_forbidden": 1,
        "undecodable_image": 1,
    }
    assert summary["dropped_attributes"] == 1
    assert summary["read"] == 9
    unlisted = sorted(row["message_id"] for row in rows("rejection") if row["reason"] == "missing_event_id")
    assert unlisted == ["file-1", "file-2", "file-3"]
    stored = rows("embedding_event") + rows("rejection")
    assert len(stored) == 9
    assert MARKER not in repr(stored) + repr(summary) + caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize("source", ["files", "uri"])
def test_a_folder_that_is_deleted_before_the_job_fails_it_and_the_next_run_loses_nothing(
    source: str, ingest: Ingested, rows: Rows, folder: Path, pictures: Stream, tmp_path: Path, warehouse: Warehouse,
    key: KeySource, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(objects, "RETRY_SECONDS", 0.1)
    stream = pictures.model_copy(update={"uri_prefixes": (f"file://{folder}/",)})
    metadata = listed(tmp_path / "m.csv", {name: f"e-{number}" for number, name in enumerate(PICTURES)})
    events = {"e-0": {"uri": f"file://{folder}/a.png"}}
    where = f"jsonl:{lines(tmp_path / 'events.jsonl', 'picture', events)}" if source == "uri" else f"files:{folder}/**"
    csv_path = metadata if source == "files" else None
    job = Ingest(stream, open_source(where, stream, csv_path), (lookup(REF),), key, warehouse, "cpu")

    shutil.move(folder, tmp_path / "unmounted")
    with pytest.raises(Unavailable) as failure:
        run(job, options.parse([]), time.monotonic())
    shutil.move(tmp_path / "unmounted", folder)

    assert not [name for name in PICTURES if name in str(failure.value)]
    assert rows("embedding_event") + rows("rejection") == []
    assert ingest(stream, where, csv_path)["embeddings"] == (len(PICTURES) if source == "files" else 1)


def test_the_command_reads_files_with_their_metadata(
    stack: Stack, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = listed(tmp_path / "m.csv", {"a.png": f"e-{tmp_path.name}", "none.png": "n"})
    (tmp_path / "stream.yaml").write_text(
        f"stream: photo\nmodality: image\nencoders: [{REF}]\nevent_id: {{pattern: '[a-z0-9_-]+'}}\n"
    )
    command = ["ingest", "--stream", f"{tmp_path}/stream.yaml", "--source", f"files:{folder}/*.png", "--device", "cpu"]

    code = main.run([*command, "--metadata", str(metadata), "--json"])
    summary = json.loads(capfd.readouterr().out)
    assert (code, summary["embeddings"], summary["rejections"]) == (0, 1, {"object_not_found": 1})
    assert summary["dropped_attributes"] == 2  # this stream does not allow the attribute camera

    assert main.run(command) == 2
    assert capfd.readouterr().err.startswith("Error: files: needs --metadata FILE.csv, with the columns file, ")

    with (tmp_path / "stream.yaml").open("a") as file:
        file.write("limits: {formats: [heic]}\n")
    monkeypatch.setattr("encoders.image_formats.heic.LIBRARY", "a_library_that_is_missing")
    assert main.run([*command, "--metadata", str(metadata)]) == 2
    assert "limits.formats: heic needs pillow-heif, which is missing" in capfd.readouterr().err

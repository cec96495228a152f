"""Children that decode, and whole jobs, are killed at random: every event is there once for readers, and no content."""

import base64
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
import yaml
from PIL import Image, PngImagePlugin

from encoders.huggingface_processor import stated_fields
from encoders.seal import seal
from rawless.audit.search import Search
from rawless.connect import LOCAL_CONFIG
from rawless.events.pubsub import ACK_SECONDS
from rawless.local.stack import Stack
from rawless.steps.crash_record import FOLDER_VARIABLE
from rawless.warehouse.client import Warehouse
from tests import tiny_image_encoder
from tests.encoders.planted_decoder import children
from tests.pipelines.conftest import EVER
from tests.programs import Program
from tests.streams import ANY_ID

EVENTS = int(os.environ.get("RAWLESS_KILLED_EVENTS", "25000"))
"""Of each of four jobs: texts and images, from a file and from Pub/Sub."""
KILL_SECONDS = float(os.environ.get("RAWLESS_KILL_SECONDS", "120"))
LIMIT_SECONDS = 1_800
MARKER = "Zanzibar-4711-Kestrel-Quibble"


@pytest.fixture
def tiny_image_file(tmp_path: Path) -> Path:
    """A file with the sealed spec of a tiny image encoder."""
    folder = tiny_image_encoder.write_model(tmp_path / "model", "vit")
    preprocessing = stated_fields("tiny-image@1.0.0", folder)
    file = tmp_path / "image.yaml"
    spec = tiny_image_encoder.make_spec(folder, "vit", preprocessing, name="tiny-image")
    file.write_text(seal(spec).model_dump_json())
    return file


class Job:
    """A command that is started again until it ends by itself."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._command, self._environment = command, environment
        self.program = Program(*command, environment=environment)
        self.codes: Counter[int] = Counter()
        self.output = ""
        self.is_done = False

    def restart(self) -> None:
        """Start it again if it was killed or failed."""
        if self.is_done or not self.program.ends_within(0):
            return
        out, err = self.program.communicate(LIMIT_SECONDS)
        code = self.program.returncode
        assert code is not None
        self.codes[code] += 1
        self.output += out + err
        self.is_done = code == 0
        if not self.is_done:
            self.program = Program(*self._command, environment=self._environment)


@pytest.mark.full
def test_events_of_jobs_and_children_that_are_killed_at_random_are_there_once(
    stack: Stack, home: Path, tmp_path: Path, tiny_file: Path, tiny_image_file: Path
) -> None:
    warehouse = Warehouse(LOCAL_CONFIG, stack.bigquery)
    warehouse.ensure()
    record, sources = tmp_path / "record", tmp_path / "sources"
    record.mkdir()
    sources.mkdir()
    environment = {**os.environ, FOLDER_VARIABLE: str(record), "TMPDIR": str(record)}
    jobs = [
        Job(command, environment)
        for modality, encoder in (("text", tiny_file), ("image", tiny_image_file))
        for command in _commands(modality, encoder, sources, environment)
    ]
    killed = _kill_at_random(jobs)
    limit = time.monotonic() + LIMIT_SECONDS
    while not all(job.is_done for job in jobs):
        assert time.monotonic() < limit
        time.sleep(0.5)
        for job in jobs:
            job.restart()

    assert killed["jobs"] > KILL_SECONDS / 30
    assert killed["children"] > KILL_SECONDS / 30
    for modality in ("text", "image"):
        seen = warehouse.query(
            f"SELECT COUNT(*) AS n, COUNT(DISTINCT event_id) AS ids FROM events.embedding_event({EVER}) "
            f"WHERE stream = 'random_{modality}'"
        )
        assert seen == [{"n": 2 * EVENTS, "ids": 2 * EVENTS}]
    assert warehouse.query(f"SELECT reason FROM events.rejection({EVER}) WHERE stream LIKE 'random_%'") == []
    assert all(set(job.codes) <= {0, 1, -signal.SIGKILL} for job in jobs)
    search = Search([MARKER.encode()])
    assert search.in_folder(home) | search.in_folder(record) == set()
    assert MARKER not in "".join(job.output for job in jobs)
    errors = {line for job in jobs for line in job.output.splitlines() if line.startswith("Error")}
    print({"killed": dict(killed), "codes": [dict(job.codes) for job in jobs], "errors": sorted(errors)})


def _kill_at_random(jobs: list[Job]) -> Counter[str]:
    """Kill jobs and children that decode, and start jobs again."""
    draw, killed = random.Random(25), Counter[str]()
    end = time.monotonic() + KILL_SECONDS
    while time.monotonic() < end:
        time.sleep(draw.uniform(0.1, 1.0))
        job = draw.choice(jobs)
        if draw.random() < 0.1:
            killed["jobs"] += job.program.returncode is None
            job.program.kill()
        elif pids := [pid for each in jobs for pid in children(each.program.pid)]:
            with suppress(ProcessLookupError):
                os.kill(draw.choice(pids), signal.SIGKILL)
                killed["children"] += 1
        for each in jobs:
            each.restart()
    return killed


def _commands(modality: str, encoder: Path, folder: Path, environment: dict[str, str]) -> Iterator[list[str]]:
    """Yield the commands that ingest the events of a file, and those of a subscription."""
    name = f"random_{modality}"
    stream = folder / f"{modality}.yaml"
    fields = {"stream": name, "modality": modality, "encoders": [str(encoder)], "event_id": ANY_ID}
    stream.write_text(yaml.safe_dump(fields | {"subject": "none"}))
    ingest = ["ingest", "--stream", str(stream), "--json", "--source"]
    yield [*ingest, f"jsonl:{_write(folder, name, modality, 'f')}"]
    published = _write(folder, name, modality, "p")
    subscription = f"pubsub:projects/local-dev/subscriptions/{name}"
    for command in (
        [*ingest, subscription, "--until-idle", "0"],  # creates topic and subscription
        ["publish", "--stream", str(stream), "--source", f"jsonl:{published}"],
    ):
        program = Program(*command, environment=environment)
        _, err = program.communicate(LIMIT_SECONDS)
        assert program.returncode == 0, err
    # The messages of a job that was killed are delivered again after their deadline.
    yield [*ingest, subscription, "--until-idle", str(ACK_SECONDS + 15)]


def _write(folder: Path, stream: str, modality: str, prefix: str) -> Path:
    path = folder / f"{stream}_{prefix}.jsonl"
    at = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    with path.open("w") as file:
        for number in range(EVENTS):
            event = {"event_id": f"{prefix}-{number:05d}", "stream": stream, "occurred_at": at}
            event |= {"text": f"{MARKER} {number}"} if modality == "text" else {"payload_base64": _image(number)}
            file.write(json.dumps(event) + "\n")
    return path


def _image(number: int) -> str:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Title", MARKER)
    file = BytesIO()
    Image.new("RGB", (8, 8), (number % 256, number // 256 % 256, 7)).save(file, "PNG", pnginfo=texts)
    return base64.b64encode(file.getvalue()).decode()

"""What the pipeline costs over its encoder, for texts and for pictures.

Each round times both sides one after the other on the same items, so that a slow moment of the machine hits both.
"""

import base64
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from encoders.catalogue import lookup
from encoders.encoder import Encoder
from encoders.load import load
from events.publish import Published, publish
from events.pubsub import PubSub, Subscription
from events.sources import open_source
from events.stream import Stream
from pipelines import options
from pipelines.ingest import Ingest
from pipelines.run import run
from privacy import Raw
from rawless import home, local_stack
from rawless.demo.texts import texts
from rawless.places import LOCAL, key_source, topic_of
from sql.warehouse import Warehouse

ROUNDS = 5
TEXTS = 2_000
PICTURES = 200


@dataclass(frozen=True)
class Work:
    """What is encoded, and by what."""

    stream: Stream
    payloads: Sequence[bytes]

    @property
    def name(self) -> str:
        """As the table says it."""
        return f"{len(self.payloads):,} {self.stream.modality}s, {self.stream.encoders[0]}"


def measure() -> list[dict[str, Any]]:
    """One row a measure, with median, lowest and highest of the rounds."""
    return [row for work in (_texts(), _pictures()) for row in _measure(work)]


def _texts() -> Work:
    found = [text for kind in texts().values() for text in kind]
    payloads = [f"{found[number % len(found)]} ({number})".encode() for number in range(TEXTS)]
    return Work(Stream(stream="bench_text", modality="text", encoders=("minilm@1.0.0",)), payloads)


def _pictures() -> Work:
    """Photographs of 640 by 427 pixels as JPEG, each turned a little differently."""
    from sklearn.datasets import load_sample_images

    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    payloads = []
    for number in range(PICTURES):
        file = BytesIO()
        photographs[number % 2].rotate(number).save(file, "JPEG", quality=90)
        payloads.append(file.getvalue())
    return Work(Stream(stream="bench_image", modality="image", encoders=("resnet18-seeded@1.0.0",)), payloads)


def _measure(work: Work) -> list[dict[str, Any]]:
    encoder = load(lookup(work.stream.encoders[0]), "cpu")
    with tempfile.TemporaryDirectory() as folder:
        job = _job(Path(folder), work)
        rounds = [(_bare(encoder, work), _ingest(job), _stream(job)) for _ in range(ROUNDS + 1)]
    rounds = rounds[1:]  # the first warms up
    count = len(work.payloads)
    return [
        _row(work.name, "encoder alone", [count / bare for bare, _, _ in rounds], "a second"),
        _row(work.name, "ingest from lines, whole job", [count / lines for _, lines, _ in rounds], "a second"),
        _row(work.name, "ingest from messages", [count / messages for _, _, messages in rounds], "a second"),
        _row(work.name, "lines / encoder alone", [bare / lines for bare, lines, _ in rounds], "ratio"),
        _row(work.name, "messages / encoder alone", [bare / messages for bare, _, messages in rounds], "ratio"),
    ]


def _job(folder: Path, work: Work) -> Ingest:
    """An ingest job over the items, into datasets of its own on the local stack."""
    names = {role: f"bench_{role}" for role in ("events", "snapshots", "subjects", "audit")}
    stack = local_stack.up(home.folder())
    warehouse = Warehouse(LOCAL.model_copy(update=names), stack.bigquery)
    warehouse.ensure()
    source = folder / "events.jsonl"
    occurred_at = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    with source.open("w") as file:
        for number, payload in enumerate(work.payloads):
            event = {"event_id": f"e-{number}", "occurred_at": occurred_at, "stream": work.stream.stream}
            event |= {"subject_id": f"c-{number % 100}", "payload_base64": base64.b64encode(payload).decode()}
            file.write(json.dumps(event) + "\n")
    opened = open_source(f"jsonl:{source}", work.stream)
    return Ingest(work.stream, opened, (lookup(work.stream.encoders[0]),), key_source(warehouse), warehouse, "cpu")


def _bare(encoder: Encoder, work: Work) -> float:
    """Seconds for the encoder alone, in calls of as many items as ingest makes."""
    started = time.monotonic()
    for start in range(0, len(work.payloads), 512):
        encoder.encode([Raw(payload) for payload in work.payloads[start : start + 512]])
    return time.monotonic() - started


def _ingest(job: Ingest) -> float:
    """Seconds for the whole job: reading, parsing, encoding, rows in the local BigQuery."""
    started = time.monotonic()
    _whole(run(job, options.parse([]), started))
    return time.monotonic() - started


def _stream(job: Ingest) -> float:
    """Seconds for the same events as messages, which wait when the job starts, without the time after the last."""
    name = f"projects/{LOCAL.project}/subscriptions/{job.stream.stream}"
    subscription = Subscription(name, PubSub(local_stack.up(home.folder()).pubsub), until_idle=0.0)
    topic = topic_of(subscription.project, job.stream.stream)
    subscription.pubsub.ensure_subscription(name, topic)
    assert not isinstance(job.source, Subscription)  # noqa: S101 - as `_job` made it
    publish(job.source, topic, subscription.pubsub, Published())
    summary = run(replace(job, source=subscription), options.parse([], streaming=True), time.monotonic())
    _whole(summary)
    return float(summary["seconds"] - summary["idle_seconds"])


def _whole(summary: dict[str, Any]) -> None:
    if summary["embeddings"] != summary["read"] or not summary["read"]:
        raise SystemExit(f"The bench is void: {summary['embeddings']} of {summary['read']} events were embedded.")


def _row(work: str, what: str, figures: list[float], unit: str) -> dict[str, Any]:
    figures = sorted(figures)
    return {
        "of": work,
        "what": what,
        "median": round(statistics.median(figures), 2),
        "lowest": round(figures[0], 2),
        "highest": round(figures[-1], 2),
        "unit": unit,
    }

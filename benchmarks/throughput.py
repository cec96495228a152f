"""Compare ingest with its encoder alone and with pipelines of common libraries."""

import base64
import json
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks import stock
from benchmarks.figures import Figure, Side, figure, ratios, rounds, seconds
from benchmarks.work import Work, minilm, resnet18, resnet50
from encoders.load import load
from pipelines import options
from pipelines.ingest import Ingest
from pipelines.run import run
from rawless.connect import LOCAL_CONFIG, open_key_source, open_pubsub, topic_name
from rawless.events.publish import Published, publish
from rawless.events.sources import open_source
from rawless.events.sources.pubsub import Subscription
from rawless.local import home, stack
from rawless.privacy import Raw
from rawless.warehouse.client import Warehouse

FEW = 16
"""Events of a small job whose time is subtracted, so that the steady state without the start of a pipeline remains."""
REQUIRED_TO_ENCODER = {"resnet50": ">= 0.9", "minilm": ">= 0.9"}
REQUIRED_TO_STOCK = {
    ("resnet50", "Beam RunInference"): ">= 1.6",
    ("minilm", "transformers, in order"): ">= 3",
    ("minilm", "sentence-transformers"): ">= 1",
}


def measure(count: int) -> list[Figure]:
    """Events per second of the encoder alone, of ingest, and of the common libraries, for each encoder."""
    works = (resnet18(200), resnet50(100), minilm(1_000))
    return [each for work in works for each in _measure(work, count)]


def _measure(work: Work, count: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        sides = {
            "encoder alone": _alone(work),
            **ingest_lines(work, Path(folder)),
            **_ingest_messages(work, Path(folder)),
        }
        sides |= stock.sides(work, Path(folder), FEW)
        times = rounds(sides, count)
    steady = {name: steady_state(name, times, work) for name in times if not name.endswith(stock.SMALL_RUN)}
    speeds = [
        figure("throughput", work.label, name, [len(work.payloads) / duration for duration in values], "a second")
        for name, values in steady.items()
    ]
    return speeds + _ratios(work, steady)


def steady_state(name: str, times: dict[str, list[float]], work: Work) -> list[float]:
    """Seconds for all items, without the start of the pipeline if the side is one."""
    if (small_run := times.get(name + stock.SMALL_RUN)) is None:
        return times[name]
    size = len(work.payloads)
    return [(total - start) * size / (size - FEW) for total, start in zip(times[name], small_run, strict=True)]


def _ratios(work: Work, times: dict[str, list[float]]) -> list[Figure]:
    """The speed of ingest relative to every other side."""
    figures = []
    for source in ("lines", "messages"):
        name = f"ingest, {source}"
        for other in times:
            if not other.startswith("ingest"):
                bound = REQUIRED_TO_ENCODER.get(work.label, "") if other == "encoder alone" else ""
                bound = bound or REQUIRED_TO_STOCK.get((work.label, other), "")
                values = ratios(times[other], times[name])
                figures.append(figure("throughput", work.label, f"{name} / {other}", values, "ratio", bound))
    return figures


def _alone(work: Work) -> Side:
    """The encoder and its runtime without a pipeline, decoding included."""
    encoder = load(work.spec, "cpu")
    return lambda: seconds(lambda: encoder.encode([Raw(payload) for payload in work.payloads]))


def ingest_lines(work: Work, folder: Path) -> dict[str, Side]:
    """Return the sides of complete jobs over lines, over all items and over a few."""
    large, small = job(work, folder / "many lines"), job(work.first(FEW), folder / "few lines")
    return {
        "ingest, lines": lambda: time_lines(large, len(work.payloads)),
        f"ingest, lines{stock.SMALL_RUN}": lambda: time_lines(small, FEW),
    }


def _ingest_messages(work: Work, folder: Path) -> dict[str, Side]:
    large, small = job(work, folder / "many messages"), job(work.first(FEW), folder / "few messages")
    return {
        "ingest, messages": lambda: time_messages(large, len(work.payloads)),
        f"ingest, messages{stock.SMALL_RUN}": lambda: time_messages(small, FEW),
    }


def job(work: Work, folder: Path) -> Ingest:
    """Return an ingest job that reads JSON Lines and writes to separate datasets of the local stack."""
    source, warehouse = open_source(f"jsonl:{write_events(work, folder)}", work.stream), bench_warehouse()
    return Ingest(work.stream, source, (work.spec,), open_key_source(warehouse), warehouse, "cpu")


def write_events(work: Work, folder: Path) -> Path:
    """Write the payloads as events to a file of JSON Lines in a new folder, and return its path."""
    folder.mkdir()
    path = folder / "events.jsonl"
    occurred_at = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    with path.open("w") as file:
        for number, payload in enumerate(work.payloads):
            event = {"event_id": f"e-{number}", "occurred_at": occurred_at, "stream": work.stream.stream}
            event |= {"subject_id": f"c-{number % 100}", "payload_base64": base64.b64encode(payload).decode()}
            file.write(json.dumps(event) + "\n")
    return path


def bench_warehouse() -> Warehouse:
    """Return a warehouse with the datasets of the benchmarks on the local stack."""
    names = {role: f"bench_{role}" for role in ("events", "snapshots", "builds", "subjects", "audit")}
    warehouse = Warehouse(LOCAL_CONFIG.model_copy(update=names), stack.up(home.folder()).bigquery)
    warehouse.ensure()
    return warehouse


def time_lines(job: Ingest, events: int) -> float:
    """Return the seconds of a complete job: reading, parsing, encoding, writing to the local BigQuery."""
    return seconds(lambda: check_complete(run(job, options.parse([]), time.monotonic())["embeddings"], events))


def time_messages(job: Ingest, events: int) -> float:
    """Return the seconds for the same events as messages, published before the job starts, without its idle time."""
    name = f"projects/{LOCAL_CONFIG.project}/subscriptions/{job.stream.stream}"
    subscription = Subscription(name, open_pubsub(), until_idle=0.0)
    topic = topic_name(subscription.project, job.stream.stream)
    subscription.pubsub.ensure_subscription(name, topic)
    assert job.source.is_bounded  # noqa: S101 - `job` opened it
    publish(job.source, topic, subscription.pubsub, Published())
    started = time.monotonic()
    summary = run(replace(job, source=subscription), options.parse([], streaming=True), started)
    check_complete(summary["embeddings"], events)
    return float(summary["seconds"] - summary["idle_seconds"])


def check_complete(embeddings: int, events: int) -> None:
    """Stop the benchmark unless every event was encoded."""
    if embeddings != events:
        raise SystemExit(f"The benchmark is invalid: {embeddings} of {events} events were encoded.")

"""Ingest against its encoder alone, and against what one would write with stock parts."""

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
from rawless.connect import LOCAL_CONFIG, open_key_source, topic_name
from rawless.events.publish import Published, publish
from rawless.events.pubsub import PubSub
from rawless.events.sources import open_source
from rawless.events.sources.pubsub import Subscription
from rawless.local import home, stack
from rawless.privacy import Raw
from rawless.warehouse.client import Warehouse

FEW = 16
"""Events of the job whose time is taken off: what remains is the steady state, without the start of a pipeline."""
MUST_INGEST = {"resnet50": ">= 0.9", "minilm": ">= 0.9"}
MUST_STOCK = {
    ("resnet50", "Beam RunInference"): ">= 1.6",
    ("minilm", "transformers, in order"): ">= 3",
    ("minilm", "sentence-transformers"): ">= 1",
}


def measure(count: int) -> list[Figure]:
    """For each encoder: how fast it is alone, as ingest, and as stock parts have it."""
    works = (resnet18(200), resnet50(100), minilm(1_000))
    return [each for work in works for each in _measure(work, count)]


def _measure(work: Work, count: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        sides = {"encoder alone": _alone(work), **_ingest(work, Path(folder)), **stock.sides(work, Path(folder), FEW)}
        found = rounds(sides, count)
    taken = {name: _steady(name, found, work) for name in found if not name.endswith(stock.OF_FEW)}
    speeds = [
        figure("throughput", work.label, name, [len(work.payloads) / each for each in values], "a second")
        for name, values in taken.items()
    ]
    return speeds + _ratios(work, taken)


def _steady(name: str, found: dict[str, list[float]], work: Work) -> list[float]:
    """Seconds for all items, without what a pipeline takes to start, where the side is one."""
    if (few := found.get(name + stock.OF_FEW)) is None:
        return found[name]
    size = len(work.payloads)
    return [(many - start) * size / (size - FEW) for many, start in zip(found[name], few, strict=True)]


def _ratios(work: Work, taken: dict[str, list[float]]) -> list[Figure]:
    """Speeds of ingest by those of the others."""
    found = []
    for source in ("lines", "messages"):
        name = f"ingest, {source}"
        for other in taken:
            if not other.startswith("ingest"):
                must = MUST_INGEST.get(work.label, "") if other == "encoder alone" else ""
                must = must or MUST_STOCK.get((work.label, other), "")
                values = ratios(taken[other], taken[name])
                found.append(figure("throughput", work.label, f"{name} / {other}", values, "ratio", must))
    return found


def _alone(work: Work) -> Side:
    """The encoder with its runtime in a bare loop, decoding included."""
    encoder = load(work.spec, "cpu")
    return lambda: seconds(lambda: encoder.encode([Raw(payload) for payload in work.payloads]))


def _ingest(work: Work, folder: Path) -> dict[str, Side]:
    many, few, size = job(work, folder / "many"), job(work.first(FEW), folder / "few"), len(work.payloads)
    return {
        "ingest, lines": lambda: lines(many, size),
        f"ingest, lines{stock.OF_FEW}": lambda: lines(few, FEW),
        "ingest, messages": lambda: messages(many, size),
        f"ingest, messages{stock.OF_FEW}": lambda: messages(few, FEW),
    }


def job(work: Work, folder: Path) -> Ingest:
    """An ingest job over lines, into datasets of its own on the local stack."""
    opened, place = open_source(f"jsonl:{write_events(work, folder)}", work.stream), warehouse()
    return Ingest(work.stream, opened, (work.spec,), open_key_source(place), place, "cpu")


def write_events(work: Work, folder: Path) -> Path:
    """The payloads as events, one a line, in a new folder."""
    folder.mkdir()
    path = folder / "events.jsonl"
    occurred_at = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    with path.open("w") as file:
        for number, payload in enumerate(work.payloads):
            event = {"event_id": f"e-{number}", "occurred_at": occurred_at, "stream": work.stream.stream}
            event |= {"subject_id": f"c-{number % 100}", "payload_base64": base64.b64encode(payload).decode()}
            file.write(json.dumps(event) + "\n")
    return path


def warehouse() -> Warehouse:
    """Datasets for benches, on the local stack."""
    names = {role: f"bench_{role}" for role in ("events", "snapshots", "subjects", "audit")}
    made = Warehouse(LOCAL_CONFIG.model_copy(update=names), stack.up(home.folder()).bigquery)
    made.ensure()
    return made


def lines(job: Ingest, events: int) -> float:
    """Seconds for the whole job: reading, parsing, encoding, rows in the local BigQuery."""
    return seconds(lambda: whole(run(job, options.parse([]), time.monotonic())["embeddings"], events))


def messages(job: Ingest, events: int) -> float:
    """Seconds for the same events as messages, which wait when the job starts, without the time after the last."""
    name = f"projects/{LOCAL_CONFIG.project}/subscriptions/{job.stream.stream}"
    subscription = Subscription(name, PubSub(stack.up(home.folder()).pubsub), until_idle=0.0)
    topic = topic_name(subscription.project, job.stream.stream)
    subscription.pubsub.ensure_subscription(name, topic)
    assert job.source.is_bounded  # noqa: S101 - as `job` made it
    publish(job.source, topic, subscription.pubsub, Published())
    started = time.monotonic()
    summary = run(replace(job, source=subscription), options.parse([], streaming=True), started)
    whole(summary["embeddings"], events)
    return float(summary["seconds"] - summary["idle_seconds"])


def whole(embeddings: int, events: int) -> None:
    """Stops the bench unless every event was embedded."""
    if embeddings != events:
        raise SystemExit(f"The bench is void: {embeddings} of {events} events were embedded.")

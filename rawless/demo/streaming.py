"""The demo's run: producers publish while the streaming jobs read, and counts of both are shown as they grow."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from pipelines import progress
from pipelines.interrupts import stop_on_interrupt
from pipelines.launch import IngestRequest, PreparedJob, prepare
from rawless.connect import LOCAL_CONFIG, open_pubsub, topic_name
from rawless.events.messages import MAX_MESSAGE_BYTES
from rawless.events.publish import Published, publish
from rawless.events.sources import open_bounded_source
from rawless.events.stream import load_stream

UNTIL_IDLE = 5.0
"""Seconds without a message after which a job ends."""


@dataclass(frozen=True)
class Producer:
    """A stream file, and where the events that are published to that stream are."""

    stream_file: Path
    source: str
    metadata: Path | None = None


@dataclass
class Line:
    """One stream's way: what its producer has, and what its job is."""

    name: str
    producer: Producer
    job: PreparedJob
    published: Published = field(default_factory=Published)
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def stream(self) -> str:
        """The stream's name."""
        return self.job.ingest.stream.stream


def line(name: str, producer: Producer) -> Line:
    """A producer that reads a file, and the job that reads the subscription named like the stream, from now on."""
    stream = load_stream(producer.stream_file)
    subscription = f"projects/{LOCAL_CONFIG.project}/subscriptions/{stream.stream}"
    reader = IngestRequest(f"pubsub:{subscription}", until_idle=UNTIL_IDLE)
    made = Line(name, producer, prepare(reader, stream))
    with open_pubsub(None).subscriber() as client:  # a demo that was stopped may have left messages
        client.seek(request={"subscription": subscription, "time": datetime.now(UTC)})
    return made


def run(lines: Sequence[Line]) -> None:
    """Run all at once, until every message is read."""
    with stop_on_interrupt(), _shown(lines), ThreadPoolExecutor(2 * len(lines)) as pool:
        running: list[Future[None]] = [pool.submit(_read, each) for each in lines]
        running += [pool.submit(_publish, each) for each in lines]
        wait(running)
    for each in running:
        each.result()


def _read(one: Line) -> None:
    one.summary = one.job.run()


def _publish(one: Line) -> None:
    stream = one.job.ingest.stream
    events = open_bounded_source(one.producer.source, stream, one.producer.metadata, max_bytes=MAX_MESSAGE_BYTES)
    publish(events, topic_name(LOCAL_CONFIG.project, stream.stream), open_pubsub(None), one.published)


@dataclass(frozen=True)
class _Counts:
    """A table, made anew each time it is drawn."""

    lines: Sequence[Line]

    def __rich__(self) -> Table:
        table = Table("", "published", "read", "embeddings", "rejected", header_style="bold")
        for each in self.lines:
            seen = progress.counts(each.stream)
            counts = (each.published.messages, seen["read"], seen["embeddings"], seen["rejections"])
            table.add_row(each.name, *(f"{count:,}" for count in counts))
        return table


@contextmanager
def _shown(lines: Sequence[Line]) -> Iterator[None]:
    """The counts on stderr while the block runs, on a terminal only."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with Live(_Counts(lines), console=console, refresh_per_second=4, transient=True):
        yield

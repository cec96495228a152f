"""Run producers and streaming jobs side by side, and show their counts as they grow."""

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

from pipelines.launch import IngestRequest, PreparedJob, prepare
from rawless.connect import LOCAL_CONFIG, open_pubsub, topic_name
from rawless.events.messages import MAX_MESSAGE_BYTES
from rawless.events.publish import Published, publish
from rawless.events.sources import open_bounded_source, open_source
from rawless.events.stream import load_stream
from rawless.steps import progress
from rawless.steps.interrupts import stop_on_interrupt

UNTIL_IDLE = 5.0
"""Seconds without a message after which a job stops."""


@dataclass(frozen=True)
class Producer:
    """A stream file, and the source of the events to publish to that stream."""

    stream_file: Path
    source: str
    metadata: Path | None = None


@dataclass
class StreamRun:
    """A producer and the job that reads what it publishes, with the counts of both."""

    name: str
    producer: Producer
    job: PreparedJob
    published: Published = field(default_factory=Published)
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def stream(self) -> str:
        """The name of the stream."""
        return self.job.ingest.stream.stream


def prepare_run(name: str, producer: Producer) -> StreamRun:
    """Prepare a producer, and the job that reads new messages of the subscription named like the stream."""
    stream = load_stream(producer.stream_file)
    subscription = f"projects/{LOCAL_CONFIG.project}/subscriptions/{stream.stream}"
    request = IngestRequest(open_source(f"pubsub:{subscription}", stream), until_idle=UNTIL_IDLE)
    run = StreamRun(name, producer, prepare(request, stream))
    with open_pubsub(None).subscriber() as client:  # skip messages that an interrupted demo may have left
        client.seek(request={"subscription": subscription, "time": datetime.now(UTC)})
    return run


def run_all(runs: Sequence[StreamRun]) -> None:
    """Run all producers and jobs in parallel, until every message is read."""
    with stop_on_interrupt(), _live_counts(runs), ThreadPoolExecutor(2 * len(runs)) as pool:
        futures: list[Future[None]] = [pool.submit(_read, run) for run in runs]
        futures += [pool.submit(_publish, run) for run in runs]
        wait(futures)
    for future in futures:
        future.result()


def _read(run: StreamRun) -> None:
    run.summary = run.job.run()


def _publish(run: StreamRun) -> None:
    stream = run.job.ingest.stream
    events = open_bounded_source(run.producer.source, stream, run.producer.metadata, max_bytes=MAX_MESSAGE_BYTES)
    publish(events, topic_name(LOCAL_CONFIG.project, stream.stream), open_pubsub(None), run.published)


@dataclass(frozen=True)
class _Counts:
    """A table of the current counts, computed anew each time it is drawn."""

    runs: Sequence[StreamRun]

    def __rich__(self) -> Table:
        table = Table("", "published", "read", "embeddings", "rejected", header_style="bold")
        for run in self.runs:
            seen = progress.counts(run.stream)
            counts = (run.published.messages, seen["read"], seen["embeddings"], seen["rejections"])
            table.add_row(run.name, *(f"{count:,}" for count in counts))
        return table


@contextmanager
def _live_counts(runs: Sequence[StreamRun]) -> Iterator[None]:
    """Show the counts on stderr while the block runs, if stderr is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with Live(_Counts(runs), console=console, refresh_per_second=4, transient=True):
        yield

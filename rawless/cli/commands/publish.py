"""`rawless publish`: events to Pub/Sub, as a producer would."""

from pathlib import Path
from typing import Annotated, Any

import typer

from rawless.cli.options import BatchSource, Json, Metadata, StreamFile, WarehouseFile
from rawless.cli.output import print_json, progress, say
from rawless.errors import UserError


def publish(
    stream: StreamFile,
    source: BatchSource,
    metadata: Metadata = None,
    topic: Annotated[
        str | None, typer.Option(help="projects/P/topics/T; without it, the topic named like the stream.")
    ] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Publish a source's events to a Pub/Sub topic, broken ones as they are.

    On the local stack the topic is made when it is missing, and a subscription of the same name.
    """
    summary = run(stream, source, metadata, topic, warehouse)
    if json:
        print_json(summary)
        return
    say(f"{summary['stream']}: {summary['published']:,} events published to {summary['topic']}.")
    if summary["refused"]:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in summary["refused"].items())
        say(f"{sum(summary['refused'].values()):,} that no message can carry: {reasons}.")
    if "subscription" in summary:
        say(f"To read them: rawless ingest --stream {stream} --source pubsub:{summary['subscription']}")


def run(
    stream_file: Path, source: str, metadata: Path | None, topic: str | None, warehouse: Path | None
) -> dict[str, Any]:
    """Publish, and return what was done."""
    from rawless.connect import default_topic, open_pubsub
    from rawless.events.messages import MAX_MESSAGE_BYTES
    from rawless.events.publish import Published
    from rawless.events.publish import publish as publish_all
    from rawless.events.sources import open_batch
    from rawless.events.sources.pubsub import check_name
    from rawless.events.stream import load_stream

    stream = load_stream(stream_file)
    opened = open_batch(source, stream, metadata, max_bytes=MAX_MESSAGE_BYTES)
    name = check_name(topic, "topics", "--topic") if topic is not None else default_topic(warehouse, stream.stream)
    published = Published()
    with progress(f"Publishing {stream.stream}", lambda: f"{published.messages:,} events"):
        pubsub = open_pubsub(warehouse)
        pubsub.ensure_topic(name)
        summary: dict[str, Any] = {"stream": stream.stream, "topic": name}
        if pubsub.emulator:  # else what is published before a first reader comes would be lost
            summary["subscription"] = name.replace("/topics/", "/subscriptions/")
            if (of := pubsub.ensure_subscription(summary["subscription"], name)) != name:
                raise UserError(
                    f"Nobody would get the events: the subscription {summary['subscription']} is of {of}, not of "
                    f"{name}. Delete it, or name another topic."
                )
        publish_all(opened, name, pubsub, published)
    refused = {reason.value: count for reason, count in sorted(published.refused.items())}
    return {**summary, "published": published.messages, "refused": refused}

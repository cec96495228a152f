"""`rawless publish`: publish events to Pub/Sub, as a producer would."""

from pathlib import Path
from typing import Annotated, Any

import typer

from rawless.cli.options import BatchSource, Json, Metadata, StreamFile, WarehouseFile
from rawless.cli.output import echo, print_json, progress
from rawless.errors import RawlessError, UserError


def publish(
    stream: StreamFile,
    source: BatchSource,
    metadata: Metadata = None,
    topic: Annotated[
        str | None,
        typer.Option(help="projects/P/topics/T. By default the topic named like the stream.", show_default=False),
    ] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Publish the events of a source to a Pub/Sub topic, invalid ones unchanged.

    On the local stack the topic, and a subscription of the same name, are created if they do not exist.
    """
    summary = _publish(stream, source, metadata, topic, warehouse)
    if json:
        print_json(summary)
    else:
        _print_summary(summary, stream)
    if summary["refused"] and not summary["published"]:
        raise RawlessError(
            "Nothing was published: no message can carry any of the events "
            f"({', '.join(summary['refused'])}); check that the source contains events of this stream."
        )


def _print_summary(summary: dict[str, Any], stream: Path) -> None:
    echo(f"{summary['stream']}: {summary['published']:,} events published to {summary['topic']}.")
    if summary["refused"]:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in summary["refused"].items())
        echo(f"{sum(summary['refused'].values()):,} could not be published: {reasons}.")
    if "subscription" in summary:
        echo(f"To read them: rawless ingest --stream {stream} --source pubsub:{summary['subscription']}")


def _publish(
    stream_file: Path, source: str, metadata: str | None, topic: str | None, warehouse: Path | None
) -> dict[str, Any]:
    from rawless.connect import default_topic, open_pubsub, open_tables
    from rawless.events.messages import MAX_MESSAGE_BYTES
    from rawless.events.publish import Published
    from rawless.events.publish import publish as publish_all
    from rawless.events.pubsub import check_name
    from rawless.events.source_total import total_of
    from rawless.events.sources import open_bounded_source
    from rawless.events.stream import load_stream
    from rawless.work import Done

    stream = load_stream(stream_file)
    events = open_bounded_source(source, stream, metadata, MAX_MESSAGE_BYTES, lambda: open_tables(warehouse))
    name = check_name(topic, "topics", "--topic") if topic is not None else default_topic(warehouse, stream.stream)
    published = Published()
    total = total_of(events)

    def measure() -> Done | None:
        read = published.messages + published.refused.total()
        return Done(published.bytes if total.unit == "bytes" else read, *total) if total else None

    with progress(f"Publishing {stream.stream}", lambda: f"{published.messages:,} published", measure):
        pubsub = open_pubsub(warehouse)
        pubsub.ensure_topic(name)
        summary: dict[str, Any] = {"stream": stream.stream, "topic": name}
        if pubsub.emulator:  # messages that are published before a subscription exists would be lost
            subscription = name.replace("/topics/", "/subscriptions/")
            if (actual := pubsub.ensure_subscription(subscription, name)) != name:
                raise UserError(
                    f"The subscription {subscription} is attached to {actual}, not to {name}, so nobody would receive "
                    "the events: delete it, or use another topic."
                )
            summary["subscription"] = subscription
        publish_all(events, name, pubsub, published, has_parts=stream.modality == "parts")
    refused = {reason.value: count for reason, count in sorted(published.refused.items())}
    return {**summary, "published": published.messages, "refused": refused}

"""`rawless audit canary`: send unguessable content through a pipeline, and search every sink for it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rawless.cli.options import DeviceName, Json, StreamFile, WarehouseFile
from rawless.cli.output import echo, print_json, print_table, progress, warn
from rawless.errors import RawlessError

if TYPE_CHECKING:
    from rawless.audit.canary.cloud import Rest


def canary(
    stream: StreamFile,
    topic: Annotated[
        str | None,
        typer.Option(
            help="projects/P/topics/T, which a deployed job of the stream reads. By default the audit runs the job "
            "itself, on the local stack.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait until the events have arrived.")] = 600.0,
    folder: Annotated[
        list[Path] | None, typer.Option(help="Another folder to search, such as one of exports; may be repeated.")
    ] = None,
    bucket: Annotated[
        list[str] | None,
        typer.Option(help="gs://BUCKET or gs://BUCKET/FOLDER/ to search, such as a job's; may be repeated."),
    ] = None,
    service: Annotated[
        list[str] | None,
        typer.Option(
            help="The URL of a service to search; may be repeated. Its token is in RAWLESS_SERVICE_TOKEN.",
        ),
    ] = None,
    device: DeviceName = "auto",
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Send events with content that nobody could guess through a pipeline, and search every sink for that content.

    The events stay in the warehouse as vectors and rejections, but no label names them. Exit code 1 means that a trace
    was found.
    """
    import os

    from rawless.events.stream import load_stream

    loaded = load_stream(stream)
    from rawless.audit.canary.run import Request, audit, record
    from rawless.serving.remote import TOKEN_VARIABLE

    request = Request(
        stream=loaded,
        topic=topic,
        warehouse=warehouse,
        timeout=timeout,
        device=device,
        folders=tuple(folder or ()),
        buckets=tuple(bucket or ()),
        services=tuple(service or ()),
        service_token=os.environ.get(TOKEN_VARIABLE),
        rest=google_rest() if warehouse is not None else None,
    )
    with progress(f"Auditing {loaded.stream}"):
        done = audit(request)
    report = done.report()
    if json:
        print_json(report)
    else:
        _print(report)
    record(done, warehouse)  # after it was printed, since an account may not be allowed to write
    if done.has_short_ids:
        warn(
            f"The ids of {loaded.stream} are short: a producer's event may get the id of a canary, and would then "
            "count as a second delivery of it."
        )
    if report["traces"]:
        raise RawlessError(
            f"{report['traces']} traces of content were found in {sum(each['traces'] > 0 for each in report['sinks'])} "
            "sinks: stop the pipeline, delete what they contain, and find the step that wrote it."
        )


def _print(report: dict[str, Any]) -> None:
    echo(
        f"{report['stream']}: {report['published']} canaries, {report['embedded']} of them arrived as vectors and "
        f"{report['rejected']} as rejections with an id."
    )
    print_table(
        [
            {
                "sink": each["sink"],
                "status": f"{each['traces']:,} traces" if each["traces"] else each["status"],
                "places": f"{each['places']:,}",
                "bytes": f"{each['bytes']:,}",
                "not searched": ", ".join(f"{reason} {count:,}" for reason, count in each["missed"].items()),
            }
            for each in report["sinks"]
        ]
    )
    for each in report["sinks"]:
        for found in each["found"]:
            echo(f"  {each['sink']}: {found['marker']}, {found['spelling']}, in {found['place']}")
    for each in report["sinks"]:
        if each["by_hand"]:
            echo(f"  by hand, for {each['sink']}: {each['by_hand']}")
    echo(
        f"Searched {report['bytes']:,} bytes for {report['markers']} markers and {report['pictures']} pictures: "
        f"{report['traces']} traces. Audit {report['audit_id']}, {report['seconds']} seconds."
    )


def google_rest(endpoint: str | None = None) -> "Rest":
    """Return Google's REST APIs, at their own address unless another is given."""
    from rawless.audit.canary.cloud import NoPermission
    from rawless.doctor.google import ENDPOINT, Denied, Google

    class Translated(Google):
        """Raises the exception that the audit expects."""

        def _request(self, method: str, service: str, path: str, **options: Any) -> dict[str, Any] | None:
            try:
                return super()._request(method, service, path, **options)
            except Denied:
                raise NoPermission from None

    return Translated(endpoint or ENDPOINT)

"""The first events of a deployment: launch a stream's job, send canaries through it, and remove all of it again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rawless.deploy.job_file import JobFile, read_job_file
from rawless.deploy.jobs import Jobs
from rawless.doctor import google
from rawless.events.cloud_objects import download, parse_pattern
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters

Rawless = Callable[..., tuple[int, Any]]
"""Runs a command with --json, and returns its exit code and the value that it printed."""
_WRITTEN = {
    "embedding_event_v1": "stream = @stream AND logged_at >= @since "
    "AND occurred_at >= TIMESTAMP_SUB(@since, INTERVAL 1 DAY)",
    "rejection_v1": "stream = @stream AND rejected_at >= @since",
}
"""The tables that a job writes, with the condition of the rows that it has written since a time."""


@dataclass(frozen=True)
class Deployed:
    """What a stream's canaries need of a deployment."""

    job_file: str
    stream: Path
    topic: str
    buckets: tuple[str, ...] = ()
    warehouse: Path | None = None
    """None is the local stack."""


def of_outputs(outputs: Mapping[str, Any], stream: str, folder: Path) -> Deployed:
    """Return a stream of an applied deployment, by what `terraform output -json` prints.

    The stream file that its job file names, and the warehouse file, are copied to a folder.
    """
    values = {name: output["value"] for name, output in outputs.items()}
    file = read_job_file(values["job_files"][stream])
    launch = file.request["launchParameter"]
    (folder / "stream.yaml").write_bytes(_content(launch["parameters"]["stream"]))
    (folder / "warehouse.yaml").write_text(values["warehouse_file"], encoding="utf-8")
    temp = launch["environment"]["tempLocation"]
    return Deployed(
        file.place, folder / "stream.yaml", values["topics"][stream], (f"{temp}/",), folder / "warehouse.yaml"
    )


def _content(address: str) -> bytes:
    place = parse_pattern(address, "The stream file")
    return download(place.bucket, place.name, "The stream file")


def run_and_remove(rawless: Rawless, deployed: Deployed, warehouse: Warehouse) -> dict[str, Any]:
    """Return the report of the canaries of a stream, whose job runs for them only, and whose rows are deleted again.

    A stream whose job runs already is refused: it has events of its own, and its job would be drained.
    """
    file = read_job_file(deployed.job_file)
    assert not _active(file), f"A job of {file.stream} runs: name a stream that has none, and no events."
    started = datetime.now(UTC)
    try:
        assert rawless("job", "launch", deployed.job_file)[0] == 0
        assert rawless("job", "status", deployed.job_file)[1]["current"]
        code, report = rawless("audit", "canary", *_audit_options(deployed))
        assert code == 0, f"{report['traces']} traces of content were found"
    finally:
        drained = rawless("job", "drain", deployed.job_file)[0]
        _remove_rows(warehouse, file.stream, started)
    assert drained == 0
    assert not _active(file)
    return dict(report)


def count_rows(warehouse: Warehouse, stream: str, since: datetime) -> int:
    """Return how many of the rows that the stream's job has written since then are there."""
    values = parameters({"stream": stream, "since": since})
    statements = [f"SELECT COUNT(*) AS n FROM `{warehouse.table_id(name)}` WHERE {_WRITTEN[name]}" for name in _WRITTEN]
    return sum(warehouse.query(statement, values)[0]["n"] for statement in statements)


def _remove_rows(warehouse: Warehouse, stream: str, since: datetime) -> None:
    values = parameters({"stream": stream, "since": since})
    for name, condition in _WRITTEN.items():
        warehouse.query(f"DELETE FROM `{warehouse.table_id(name)}` WHERE {condition}", values)


def _active(file: JobFile) -> list[Any]:
    return list(Jobs(google.Google(google.ENDPOINT), file).active())


def _audit_options(deployed: Deployed) -> list[str]:
    options = ["--stream", str(deployed.stream), "--topic", deployed.topic]
    options += [word for bucket in deployed.buckets for word in ("--bucket", bucket)]
    return [*options, "--warehouse", str(deployed.warehouse)] if deployed.warehouse else options

"""`rawless job launch|update|drain|replace|status`: the job of a stream on Dataflow."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rawless.cli.options import Json
from rawless.cli.output import echo, print_json, print_table, progress_steps

if TYPE_CHECKING:
    from rawless.deploy.changes import Change
    from rawless.deploy.jobs import Job, Jobs
    from rawless.deploy.waiting import Patience

app = typer.Typer(help="Start, change and end the job of a stream on Dataflow.", no_args_is_help=True)

NOT_AS_IN_FILE = 3
"""The exit code of `status` when the job does not run, or runs by another request than that of the job file."""
_ENDED_SHOWN = 5
_File = Annotated[
    str, typer.Argument(metavar="JOB_FILE", help="The job file of a stream: a path, or gs://BUCKET/jobs/STREAM.json.")
]
_Wait = Annotated[
    int, typer.Option("--wait", min=1, metavar="SECONDS", help="How long each job is waited for before giving up.")
]
_START_SECONDS = 900
_DRAIN_SECONDS = 3600


@app.command()
def launch(file: _File, wait: _Wait = _START_SECONDS, json: Json = False) -> None:
    """Start the job of a stream unless it runs, and wait until it runs. Can be run again at any time."""
    from rawless.deploy.changes import launch

    _change(launch, file, wait, "Launching", json)


@app.command()
def update(file: _File, wait: _Wait = _START_SECONDS, json: Json = False) -> None:
    """Change the job that runs in place: Dataflow checks that the new one is compatible, and replaces its workers."""
    from rawless.deploy.changes import update

    _change(update, file, wait, "Updating", json)


@app.command()
def drain(file: _File, wait: _Wait = _DRAIN_SECONDS, json: Json = False) -> None:
    """Let the jobs of a stream complete what they read and end. Never cancels a job. Can be run again at any time."""
    from rawless.deploy.changes import drain

    _change(drain, file, wait, "Draining", json)


@app.command()
def replace(file: _File, wait: _Wait = _START_SECONDS, json: Json = False) -> None:
    """Start a new job beside the one that runs, and drain the old one as soon as the new one runs.

    No message waits. If it is interrupted, run it again. If the new job does not start, the old one runs on.
    """
    from rawless.deploy.changes import replace

    _change(replace, file, wait, "Replacing", json)


@app.command()
def status(file: _File, json: Json = False) -> None:
    """List the jobs of a stream: those that are active, and the last ones that ended.

    Exit code 0: a job runs by the request in the job file, and no other; 3: none does, or another one runs.
    """
    jobs = _jobs(file)
    active, ended = jobs.active(), jobs.ended(_ENDED_SHOWN)
    working = [job for job in active if not job.is_ending]
    as_in_file = any(job.is_running for job in working) and all(map(jobs.is_current, working))
    rows = [_row(jobs, job) for job in (*active, *ended)]
    if json:
        print_json({"stream": jobs.file.stream, "request": jobs.file.request_id, "current": as_in_file, "jobs": rows})
    else:
        shown = [{name: value for name, value in row.items() if name != "link"} for row in rows]
        print_table(shown, f"{jobs.file.stream}: {jobs.file.name} in {jobs.file.project}, {jobs.file.location}")
        echo(_summary(jobs, working, as_in_file))
    if not as_in_file:
        raise typer.Exit(NOT_AS_IN_FILE)


def _change(change: "Callable[[Jobs, Patience], Change]", place: str, wait: int, title: str, json: bool) -> None:
    """Carry out a change and print what it did."""
    from rawless.deploy import waiting

    jobs = _jobs(place)
    with progress_steps(f"{title} {jobs.file.name}") as report:
        done = change(jobs, waiting.Patience(wait, report, waiting.INTERVAL_SECONDS))
    if json:
        print_json({"stream": jobs.file.stream, "done": done.sentence, "jobs": [_row(jobs, job) for job in done.jobs]})
    else:
        echo(done.sentence)


def _jobs(place: str) -> "Jobs":
    from rawless.deploy.job_file import read_job_file
    from rawless.deploy.jobs import Jobs
    from rawless.doctor import google

    return Jobs(google.Google(google.ENDPOINT), read_job_file(place))


def _row(jobs: "Jobs", job: "Job") -> dict[str, Any]:
    return {
        "name": job.name,
        "id": job.job_id,
        "state": job.condition,
        "since": job.since,
        "request": "current" if jobs.is_current(job) else "differs",
        "link": jobs.link(job),
    }


def _summary(jobs: "Jobs", working: "list[Job]", as_in_file: bool) -> str:
    """Return what a user may do next."""
    place = jobs.file.place
    if as_in_file:
        return f"The job runs by the request in {place}."
    if not working:
        return f"No job runs: start it by `rawless job launch {place}`."
    if all(map(jobs.is_current, working)):
        return f"The job starts: wait for it by `rawless job launch {place}`."
    return f"A job runs by another request: `rawless job update {place}` or `rawless job replace {place}` changes it."

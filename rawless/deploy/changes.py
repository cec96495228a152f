"""Start, update, drain and replace the job of a stream, so that each can be interrupted and run again.

Dataflow has at most one active job of a name. A job carries the id of its request as a label, and its name says of
which stream it is, so a job that a former run started is found, even if that run never heard of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rawless.deploy.jobs import Job, Jobs, NameTaken
from rawless.deploy.waiting import JobNotReady, Patience, wait_for
from rawless.errors import Unavailable, UserError


@dataclass(frozen=True)
class Change:
    """What a command did, in sentences, and the jobs that it is about."""

    sentence: str
    jobs: tuple[Job, ...]


def launch(jobs: Jobs, patience: Patience) -> Change:
    """Start the stream's job if none runs, wait until it runs, and return it.

    Raises UserError if a job of another request runs, JobNotReady if the new one fails or takes too long.
    """
    found = _determined(jobs, patience)
    current, others = _current(jobs, found), _others(jobs, found)
    if others and not current:
        raise UserError(
            f"The stream {jobs.file.stream} has {_names(others)}, by another request than that of {jobs.file.place}: "
            f"change it in place by `rawless job update {jobs.file.place}`, or start a new one beside it by `rawless "
            f"job replace {jobs.file.place}`."
        )
    if current and current.is_running:
        beside = f" Another one runs, too: `rawless job replace {jobs.file.place}` drains it." if others else ""
        return Change(
            f"{current} of the stream {jobs.file.stream} already runs: {jobs.link(current)}{beside}", (current,)
        )
    started = _running(jobs, current or _start_beside(jobs, found), patience)
    return Change(f"{started} of the stream {jobs.file.stream} runs: {jobs.link(started)}", (started,))


def update(jobs: Jobs, patience: Patience) -> Change:
    """Let a new job take the place of the one that runs, under its name, and return the new one.

    Raises UserError if none or several run, JobNotReady if Dataflow refuses the new one or takes too long.
    """
    found = _determined(jobs, patience)
    current, others = _current(jobs, found), _others(jobs, found)
    if current and current.is_running:
        return Change(f"{current} already runs with this request, so nothing was done.", (current,))
    if current:  # an update that was interrupted
        updated = _running(jobs, current, patience, others, _instead(jobs))
        return Change(f"{updated} runs: {jobs.link(updated)}", (updated,))
    old = _one_to_update(jobs, others)
    updated = _running(jobs, _start(jobs, old.name, update=True), patience, [old], _instead(jobs))
    return Change(f"{updated} took the place of {old} and runs: {jobs.link(updated)}", (updated,))


def drain(jobs: Jobs, patience: Patience) -> Change:
    """Drain all jobs of the stream, wait until they have ended, and return them. Raises JobNotReady at the limit."""
    found = jobs.active()
    if not found:
        return Change(f"No job of the stream {jobs.file.stream} runs, so nothing was done.", ())
    ended = _drained(jobs, found, patience, f"rawless job drain {jobs.file.place}")
    return Change(f"{_ends(ended)} Messages wait in the subscription for at most seven days.", tuple(ended))


def replace(jobs: Jobs, patience: Patience) -> Change:
    """Start a job beside the one that runs, and drain the old one as soon as the new one runs.

    Raises JobNotReady if the new job does not run, in which case the old one runs on, or if draining takes too long.
    """
    found = _determined(jobs, patience)
    current, others = _current(jobs, found), _others(jobs, found)
    current = _running(jobs, current or _start_beside(jobs, found, others), patience, others)
    runs = f"{current} of the stream {jobs.file.stream} runs: {jobs.link(current)}"
    old = [job for job in jobs.active() if job.job_id != current.job_id]
    if not old:
        return Change(runs, (current,))
    ended = _drained(jobs, old, patience, f"rawless job replace {jobs.file.place}")
    return Change(f"{runs} {_ends(ended)}", (current, *ended))


def _determined(jobs: Jobs, patience: Patience) -> list[Job]:
    """Return the active jobs of the stream, once it is known which request started each."""
    found = jobs.active()
    unclear = [job for job in found if job.is_undetermined]
    if not unclear:
        return found
    for job in wait_for(jobs, unclear, lambda job: not job.is_undetermined, patience):
        if job.is_undetermined:
            raise JobNotReady(_still(jobs, job, patience, f"rawless job status {jobs.file.place}"))
    return jobs.active()


def _current(jobs: Jobs, found: list[Job]) -> Job | None:
    """Return the job that the request of the job file started, the one that runs if there are several."""
    current = [job for job in found if jobs.is_current(job) and not job.is_ending]
    return min(current, key=lambda job: not job.is_running, default=None)


def _others(jobs: Jobs, found: list[Job]) -> list[Job]:
    """Return the jobs that run or start by another request."""
    return [job for job in found if not jobs.is_current(job) and not job.is_ending]


def _one_to_update(jobs: Jobs, others: list[Job]) -> Job:
    """Return the job whose place the new one takes. Raises UserError if there is not exactly one."""
    place, stream = jobs.file.place, jobs.file.stream
    if not others:
        raise UserError(f"No job of the stream {stream} runs: start one by `rawless job launch {place}`.")
    if len(others) > 1:
        raise UserError(
            f"{_names(others)} of the stream {stream} are active, but only one job can be updated: `rawless job "
            f"replace {place}` starts the new one and drains these."
        )
    (old,) = others
    if not old.is_running:
        raise JobNotReady(
            f"{old} is still {old.condition}, and only a running job can be updated: run the command again when "
            f"`rawless job status {place}` shows it as running."
        )
    return old


def _start_beside(jobs: Jobs, found: list[Job], others: list[Job] | None = None) -> Job:
    """Start a job under the first name that no active job has: the stream's own if no other job runs."""
    taken = {job.name for job in found}
    own = () if others else (jobs.file.name,)
    names = (*own, *(jobs.file.replacement_name(attempt) for attempt in range(1, len(taken) + 2)))
    return _start(jobs, next(name for name in names if name not in taken))


def _start(jobs: Jobs, name: str, *, update: bool = False) -> Job:
    """Launch a job, or return the one that a launch started whose answer was lost."""
    known = {job.job_id for job in jobs.active()}
    try:
        return jobs.launch(name, update=update)
    except NameTaken:
        problem = f"Dataflow has an active job named {name} already"
    except Unavailable:
        problem = f"Dataflow did not answer the launch of {name}, which may have begun"
    for job in jobs.active():
        is_ours = jobs.is_current(job) or job.is_undetermined
        if job.name == name and job.job_id not in known and is_ours:
            return job
    raise Unavailable(f"{problem}: run the command again, which finds the job if there is one.")


def _running(jobs: Jobs, started: Job, patience: Patience, beside: Sequence[Job] = (), instead: str = "") -> Job:
    """Return a job that was started once it runs. Raises JobNotReady if it fails or the limit is reached."""
    (job,) = wait_for(jobs, [started], lambda job: not job.is_starting, patience)
    if job.is_running:
        return job
    if job.is_starting:
        raise JobNotReady(_still(jobs, job, patience, f"rawless job status {jobs.file.place}"))
    rest = f" {_names(beside)} still {'runs' if len(beside) == 1 else 'run'}." if beside else ""
    raise JobNotReady(f"{job} did not start, it is {job.condition}: {jobs.link(job)} shows the reason.{rest}{instead}")


def _instead(jobs: Jobs) -> str:
    """Return what to do if the graph of an update does not fit the running job's."""
    return f" If the two are not compatible, `rawless job replace {jobs.file.place}` starts the new one beside the old."


def _drained(jobs: Jobs, found: list[Job], patience: Patience, again: str) -> list[Job]:
    """Return jobs after they have ended. Only a job that runs can be drained, so one that starts is waited for."""

    def drain_if_running(job: Job) -> None:
        if job.is_running:
            jobs.drain(job)

    for job in found:
        drain_if_running(job)
    latest = wait_for(jobs, found, lambda job: job.has_ended, patience, drain_if_running)
    for job in latest:
        if not job.has_ended:
            raise JobNotReady(_still(jobs, job, patience, again))
    return latest


def _still(jobs: Jobs, job: Job, patience: Patience, again: str) -> str:
    """Return what state a job is in at the limit, and how to go on."""
    since = f" since {job.since:%Y-%m-%d %H:%M} UTC" if job.since else ""
    by_hand = (
        ""
        if not job.is_starting
        else f" It has read nothing yet; if it never starts, `gcloud dataflow jobs cancel {job.job_id} --project "
        f"{jobs.file.project} --region {jobs.file.location}` loses nothing."
    )
    return (
        f"{job} is {job.condition}{since}, and the limit of {patience.seconds:g} s is reached: go on by "
        f"`{again}`, or look at {jobs.link(job)}.{by_hand}"
    )


def _ends(ended: list[Job]) -> str:
    return " ".join(f"{job} is {job.condition}." for job in ended)


def _names(jobs: Sequence[Job]) -> str:
    return " and ".join(map(str, jobs))

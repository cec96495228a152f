"""The jobs of one stream on Dataflow: find, launch and drain them through Google's REST APIs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from rawless.deploy.job_file import REQUEST_LABEL, JobFile
from rawless.doctor.google import Denied, Google, Refused
from rawless.errors import Unavailable, UserError
from rawless.metering.table import EMBEDDINGS

_SERVICE = "dataflow"
_PREFIX = "JOB_STATE_"
_ENDED = frozenset({"DONE", "FAILED", "CANCELLED", "UPDATED", "DRAINED"})
_ENDING = frozenset({"DRAINING", "CANCELLING", "RESOURCE_CLEANING_UP"})
_RUNNING = "RUNNING"
_UNKNOWN = "UNKNOWN"
_STARTING = frozenset({_UNKNOWN, "STOPPED", "QUEUED", "PENDING"})
"""Google calls a job stopped before it starts. Others, such as PAUSED, are of jobs that have read messages."""
_CONFLICT = 409
_CHANGES = ("launch", "drain")
"""The requests that Dataflow may refuse because of the state of a job."""
_VIEW = "JOB_VIEW_DESCRIPTION"
"""A list of jobs contains summaries, which need not have labels; this view of one job has them."""
_PAGE = 1000
_CONSOLE = "https://console.cloud.google.com/dataflow/jobs"


@dataclass(frozen=True)
class Job:
    """A job, as Dataflow described it."""

    job_id: str
    name: str
    state: str
    """Such as RUNNING; UNKNOWN in the answer to a launch."""
    since: datetime | None
    labels: dict[str, str]

    @property
    def request_id(self) -> str | None:
        """The id of the request that launched it, None if no command of ours did, or if it is not known yet."""
        return self.labels.get(REQUEST_LABEL)

    @property
    def condition(self) -> str:
        """The state in lower case, as users read it."""
        return "starting" if self.state == _UNKNOWN else self.state.lower()

    @property
    def is_running(self) -> bool:
        """Whether it reads messages."""
        return self.state == _RUNNING

    @property
    def is_ending(self) -> bool:
        """Whether it reads no more messages, and completes those that it has."""
        return self.state in _ENDING

    @property
    def has_ended(self) -> bool:
        """Whether it will never do anything again."""
        return self.state in _ENDED

    @property
    def is_starting(self) -> bool:
        """Whether it reads no messages yet."""
        return self.state in _STARTING

    @property
    def is_undetermined(self) -> bool:
        """Whether the request that launched it is not known yet: labels may appear after the launch."""
        return self.is_starting and self.request_id is None

    def __str__(self) -> str:
        return f"{self.name} ({self.job_id})"


class NameTaken(Unavailable):
    """An active job has the name already."""


@dataclass(frozen=True)
class Jobs:
    """The jobs of the stream of a job file.

    Raises UserError if the account, the project or the request is wrong, and Unavailable if Dataflow does not answer.
    """

    google: Google
    file: JobFile

    def active(self) -> list[Job]:
        """Return the jobs of the stream that have not ended, the oldest first."""
        listed = [job for job in self._listed() if not job.has_ended]
        known = map(self._with_labels, listed)
        return [job for job in known if self._is_of_stream(job) and not job.has_ended]

    def ended(self, most: int) -> list[Job]:
        """Return the jobs of the stream that ended last, the latest first."""
        listed = [job for job in self._listed() if job.has_ended and self._is_of_stream(job)]
        latest = sorted(listed, key=lambda job: job.since.timestamp() if job.since else 0.0, reverse=True)[:most]
        return [self._with_labels(job) for job in latest]

    def find(self, job_id: str) -> Job | None:
        """Return a job, or None if Dataflow does not know it."""
        answer = self._ask("see", lambda: self.google.get(_SERVICE, f"{self._path}/jobs/{job_id}", view=_VIEW))
        return None if answer is None else _job(answer)

    def is_current(self, job: Job) -> bool:
        """Return whether a job was launched by the request in the job file."""
        return job.request_id == self.file.request_id

    def launch(self, name: str, *, update: bool = False) -> Job:
        """Launch a job of this name, or update the one that has it, and return the new job.

        Raises NameTaken if an active job has the name, and Unavailable if the answer was lost; the job may exist then.
        """
        body = self.file.launch_body(name, update=update)
        try:
            answer = self._ask("launch", lambda: self.google.post(_SERVICE, f"{self._path}/flexTemplates:launch", body))
        except Refused as refused:
            if refused.status == _CONFLICT:
                raise NameTaken(f"Dataflow has an active job named {name}.") from None
            raise self._wrong_request(refused, self._replace_instead if update else "") from None
        if answer is None:
            raise UserError(
                f"Google does not find the project {self.file.project}, the region {self.file.location} or the "
                f"template {self.file.template} of the job file {self.file.place}: check them, and write the template "
                "file."
            )
        return _job({"name": name, **answer.get("job", {})})

    def has_written(self, job: Job) -> bool:
        """Return whether a job has written rows of embeddings, as its own counter says."""
        answer = self._ask("see", lambda: self.google.get(_SERVICE, f"{self._path}/jobs/{job.job_id}/metrics"))
        metrics = (answer or {}).get("metrics", ())
        rows = [each.get("scalar") for each in metrics if each.get("name", {}).get("name") == EMBEDDINGS.name]
        return any(isinstance(count, int | float) and count > 0 for count in rows)

    def drain(self, job: Job) -> None:
        """Ask Dataflow to drain a job. Does nothing if it is not running any more."""
        body = {"requestedState": f"{_PREFIX}DRAINED"}
        try:
            self._ask("drain", lambda: self.google.put(_SERVICE, f"{self._path}/jobs/{job.job_id}", body))
        except Refused as refused:
            now = self.find(job.job_id)
            if now is not None and now.is_running:
                raise Unavailable(f"Dataflow does not drain {job}: {refused.detail}.") from None

    def link(self, job: Job) -> str:
        """Return the address of a job's page in Google's console."""
        return f"{_CONSOLE}/{self.file.location}/{job.job_id}?project={self.file.project}"

    @property
    def _path(self) -> str:
        return f"v1b3/projects/{self.file.project}/locations/{self.file.location}"

    def _listed(self) -> Iterator[Job]:
        """Yield all jobs of the project in the region, the oldest first."""
        found: list[dict[str, Any]] = []
        query: dict[str, Any] = {"filter": "ALL", "pageSize": _PAGE}
        while True:
            answer = self._ask("list", partial(self.google.get, _SERVICE, f"{self._path}/jobs", **query))
            if answer is None:
                raise UserError(
                    f"Google does not find the project {self.file.project} or the region {self.file.location} of the "
                    f"job file {self.file.place}: check both."
                )
            if answer.get("failedLocation"):
                raise Unavailable(
                    f"Dataflow could not list the jobs in {self.file.location}; run the command again, since a job "
                    "that is not listed would be started twice."
                )
            found += answer.get("jobs", ())
            if not (token := answer.get("nextPageToken")):
                break
            query = {**query, "pageToken": token}
        yield from map(_job, sorted(found, key=lambda job: str(job.get("createTime", ""))))

    def _with_labels(self, job: Job) -> Job:
        return job if REQUEST_LABEL in job.labels else self.find(job.job_id) or job

    def _is_of_stream(self, job: Job) -> bool:
        """Return whether a job is of the stream: by its labels, or by its name while it has none of ours."""
        if job.labels.keys() & self.file.labels.keys():
            return all(job.labels.get(name) == value for name, value in self.file.labels.items())
        return self.file.is_name(job.name)

    def _ask(self, what: str, request: Callable[[], dict[str, Any] | None]) -> dict[str, Any] | None:
        try:
            return request()
        except Denied as denied:
            raise UserError(self._denied(what, str(denied))) from None
        except Refused as refused:
            if what in _CHANGES:
                raise
            raise self._wrong_request(refused) from None

    def _denied(self, what: str, reason: str) -> str:
        project = self.file.project
        role = "roles/dataflow.viewer" if what in ("see", "list") else "roles/dataflow.developer"
        worker = (
            f" and roles/iam.serviceAccountUser on {self.file.account}"
            if what == "launch" and self.file.account
            else ""
        )
        return (
            f"Google does not let this account {what} jobs in the project {project}: {reason}. Run as one of the "
            f"deployment's launchers, or grant it {role} there{worker}; check that the Dataflow API is enabled, and "
            "call from inside of the service perimeter."
        )

    def _wrong_request(self, refused: Refused, instead: str = "") -> UserError:
        return UserError(
            f"Dataflow refused the request of the job file {self.file.place} ({refused.status}): {refused.detail}."
            f"{instead}"
        )

    @property
    def _replace_instead(self) -> str:
        return f" The old job runs on; `rawless job replace {self.file.place}` starts the new one beside it."


def _job(answer: dict[str, Any]) -> Job:
    at = answer.get("currentStateTime")
    since = datetime.fromisoformat(at) if at else None
    return Job(
        job_id=str(answer.get("id", "")),
        name=str(answer.get("name", "")),
        state=str(answer.get("currentState") or _UNKNOWN).removeprefix(_PREFIX),
        since=since if since and since.timestamp() else None,  # a new job has been in its state since 1970
        labels={str(name): str(value) for name, value in (answer.get("labels") or {}).items()},
    )

"""A small Dataflow behind HTTP: it launches, updates, lists and drains jobs, whose states change when they are read."""

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from google.cloud.dataflow_v1beta3 import LaunchFlexTemplateRequest
from google.protobuf.json_format import ParseDict, ParseError

from tests.fake_google import FakeGoogle, refusal

PROJECT, LOCATION = "a-project", "europe-west4"
PATH = f"/dataflow/v1b3/projects/{PROJECT}/locations/{LOCATION}"
_ENDED = ("DONE", "FAILED", "CANCELLED", "UPDATED", "DRAINED")
STARTS = ("QUEUED", "PENDING", "RUNNING")
DRAINS = ("DRAINING", "DRAINING", "DRAINED")


@dataclass
class FakeJob:
    """A job and the states that it will have: each time it is read, it reaches the next one."""

    job_id: str
    name: str
    labels: dict[str, str]
    states: list[str]
    replaces: "FakeJob | None" = None
    drained: int = 0
    """How often its drain was requested."""

    @property
    def state(self) -> str:
        return self.states[0]

    @property
    def is_active(self) -> bool:
        return self.state not in _ENDED

    def advance(self) -> None:
        if len(self.states) > 1:
            self.states.pop(0)
        if self.state == "RUNNING" and self.replaces and self.replaces.state == "RUNNING":
            self.replaces.states = ["UPDATED"]

    def summary(self) -> dict[str, Any]:
        """What a list of jobs has of it: no labels."""
        return {
            "id": self.job_id,
            "projectId": PROJECT,
            "name": self.name,
            "currentState": f"JOB_STATE_{self.state}",
            "currentStateTime": "2026-11-29T20:00:00.123456789Z",
            "createTime": f"2026-11-29T20:00:{int(self.job_id.split('-')[1]):02}Z",
            "location": LOCATION,
        }

    def description(self) -> dict[str, Any]:
        """What it is described as: labels appear once it is not queued any more."""
        google_labels = {"goog-dataflow-provided-template-type": "flex"}
        return {**self.summary(), "labels": google_labels if self.state == "QUEUED" else self.labels | google_labels}


@dataclass
class FakeDataflow:
    """The jobs of one project in one region."""

    google: FakeGoogle
    jobs: list[FakeJob] = field(default_factory=list)
    launched: list[dict[str, Any]] = field(default_factory=list)
    """The parameters of each launch that was accepted."""
    starts: tuple[str, ...] = STARTS
    """The states of jobs that are launched."""
    drains: tuple[str, ...] = DRAINS
    page_size: int = 100
    before_answer: Callable[[], bool] = lambda: True
    """Called after a launch was carried out; its answer is lost if this is false."""
    _numbers: Any = field(default_factory=lambda: itertools.count(1))
    _lock: Any = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.google.answers |= {
            f"GET {PATH}/jobs": self._list,
            f"POST {PATH}/flexTemplates:launch": self._launch,
        }

    def add(self, name: str, labels: dict[str, str] | None = None, states: tuple[str, ...] = ("RUNNING",)) -> FakeJob:
        """Add a job as if somebody had launched it."""
        job = FakeJob(f"job-{next(self._numbers)}", name, labels or {}, list(states))
        self.jobs.append(job)
        self.google.answers |= {
            f"GET {PATH}/jobs/{job.job_id}": lambda _: self._describe(job),
            f"PUT {PATH}/jobs/{job.job_id}": lambda request: self._change(job, request),
        }
        return job

    def states(self) -> dict[str, str]:
        """The states of all jobs by their ids."""
        return {job.job_id: job.state for job in self.jobs}

    def _list(self, query: dict[str, str]) -> tuple[int, Any]:
        assert query["filter"] == "ALL"
        start = int(query.get("pageToken", "0"))
        page = [job.summary() for job in self.jobs[start : start + self.page_size]]
        more = start + self.page_size < len(self.jobs)
        return 200, {"jobs": page} | ({"nextPageToken": str(start + self.page_size)} if more else {})

    def _describe(self, job: FakeJob) -> tuple[int, Any]:
        with self._lock:
            described = job.description()
            job.advance()
        return 200, described

    def _launch(self, request: dict[str, Any]) -> tuple[int | None, Any]:
        try:
            ParseDict(request, LaunchFlexTemplateRequest.pb(LaunchFlexTemplateRequest()))
        except ParseError:
            return 400, refusal(400, "INVALID_ARGUMENT")
        parameter = request["launchParameter"]
        with self._lock:
            same = [job for job in self.jobs if job.name == parameter["jobName"] and job.is_active]
            if bool(same) != parameter.get("update", False):
                return (409, refusal(409, "ALREADY_EXISTS")) if same else (400, refusal(400, "NO_SUCH_JOB"))
            job = self.add(parameter["jobName"], parameter["environment"]["additionalUserLabels"], self.starts)
            job.replaces = same[0] if same else None
            self.launched.append(parameter)
        if not self.before_answer():
            return None, None
        return 200, {"job": {"id": job.job_id, "projectId": PROJECT, "name": job.name, "location": LOCATION}}

    def _change(self, job: FakeJob, request: dict[str, Any]) -> tuple[int, Any]:
        assert request == {"requestedState": "JOB_STATE_DRAINED"}, "a command must never cancel a job"
        with self._lock:
            if job.state != "RUNNING":
                return 400, refusal(400, "FAILED_PRECONDITION")
            job.states = list(self.drains)
            job.drained += 1
        return 200, job.summary()

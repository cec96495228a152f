"""Fixtures: Dataflow, the jobs of a stream on it, and a clock that a wait moves."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rawless.deploy.job_file import read_job_file
from rawless.deploy.jobs import Jobs
from rawless.deploy.waiting import Patience
from rawless.doctor.google import Google
from tests.deploy.fake_dataflow import FakeDataflow
from tests.deploy.job_files import REQUEST, write
from tests.fake_google import credentials_file, fake_google

JobsOf = Callable[..., Jobs]


@dataclass
class Clock:
    """A clock that only a sleep moves."""

    now: float = 0.0
    lines: list[str] = field(default_factory=list)

    def patience(self, seconds: float = 900.0, sleep: Callable[[float], object] | None = None) -> Patience:
        return Patience(seconds, self.lines.append, 5.0, lambda: self.now, sleep or self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def dataflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDataflow]:
    """A Dataflow without jobs, and credentials for it."""
    with fake_google() as google:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(credentials_file(google, tmp_path)))
        monkeypatch.setattr("rawless.doctor.google.ENDPOINT", google.url + "/{service}")
        monkeypatch.setattr("rawless.deploy.waiting.INTERVAL_SECONDS", 0.0)
        yield FakeDataflow(google)


@pytest.fixture
def jobs_of(dataflow: FakeDataflow, tmp_path: Path) -> JobsOf:
    """Return a function that returns the jobs of a request's stream, as a new process would see them."""

    def jobs(request: Any = REQUEST) -> Jobs:
        return Jobs(Google(dataflow.google.url + "/{service}"), read_job_file(write(tmp_path, request)))

    return jobs

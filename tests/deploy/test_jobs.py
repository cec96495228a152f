"""What Google answers becomes one sentence that says how to go on."""

from typing import Any

import pytest
from google.cloud.dataflow_v1beta3 import JobState

from rawless.deploy import changes
from rawless.deploy.jobs import Job
from rawless.errors import RawlessError, Unavailable, UserError
from tests.deploy.conftest import Clock, JobsOf
from tests.deploy.fake_dataflow import PATH, FakeDataflow
from tests.deploy.job_files import LABELS, NAME, changed
from tests.fake_google import Answer, refused

LAUNCH, LIST = f"POST {PATH}/flexTemplates:launch", f"GET {PATH}/jobs"


def test_only_a_job_that_never_ran_counts_as_one_that_has_read_nothing() -> None:
    """`rawless job drain` says of such a job that to cancel it loses nothing."""
    states = [state.name.removeprefix("JOB_STATE_") for state in JobState]
    jobs = [Job("job-1", "name", state, None, {}) for state in states]

    assert {job.state for job in jobs if job.is_starting} == {"UNKNOWN", "STOPPED", "QUEUED", "PENDING"}
    assert {job.state for job in jobs if job.is_ending} == {"DRAINING", "CANCELLING", "RESOURCE_CLEANING_UP"}


@pytest.mark.parametrize(
    ("request_name", "answer", "kind", "words"),
    [
        (
            LIST,
            refused(403, "DENIED"),
            UserError,
            "let this account list jobs in the project a-project: DENIED for a test. R",
        ),
        (
            LAUNCH,
            refused(403, "DENIED"),
            UserError,
            "grant it roles/dataflow.developer there and roles/iam.serviceAccountUser on rawless-w-message@a-pro",
        ),
        (
            LIST,
            refused(404, "X"),
            UserError,
            "does not find the project a-project or the region europe-west4 of the job",
        ),
        (
            LAUNCH,
            refused(404, "X"),
            UserError,
            "or the template gs://a-project-rawless-config/templates/rawless.json of",
        ),
        (
            LAUNCH,
            refused(400, "BAD_WORKERS"),
            UserError,
            r"refused the request of .*\(400\): BAD_WORKERS for a test\.$",
        ),
        (LAUNCH, lambda _: (400, b"<html>"), UserError, r"\(400\): without a reason\.$"),
        (LAUNCH, refused(429, "QUOTA"), Unavailable, "did not answer the launch of rawless-message"),
        (LIST, refused(500, "BROKEN"), Unavailable, r"dataflow did not answer \(HTTPError\); run the command again"),
        (LIST, {"failedLocation": [{"name": "europe-west4"}]}, Unavailable, "could not list the jobs in europe-west4"),
    ],
)
def test_each_refusal_of_google_is_one_sentence(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock, request_name: str, answer: Answer | Any,
    kind: type[RawlessError], words: str,
) -> None:  # fmt: skip
    dataflow.google.answers[request_name] = answer

    with pytest.raises(kind, match=words) as raised:
        changes.launch(jobs_of(), clock.patience())

    assert "\n" not in str(raised.value)
    assert dataflow.jobs == []


def test_an_update_that_is_refused_at_once_names_replace(dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock) -> None:
    dataflow.add(NAME, LABELS)
    dataflow.google.answers[LAUNCH] = refused(400, "INCOMPATIBLE")

    with pytest.raises(
        UserError, match=r"INCOMPATIBLE for a test\. The old job runs on; `rawless job replace .*` starts"
    ):
        changes.update(jobs_of(), clock.patience())


def test_a_drain_that_is_refused_says_why(dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock) -> None:
    job = dataflow.add(NAME, LABELS)
    dataflow.google.answers[f"PUT {PATH}/jobs/{job.job_id}"] = refused(400, "BATCH")

    with pytest.raises(Unavailable, match=r"^Dataflow does not drain rawless-message \(job-1\): BATCH for a test\.$"):
        changes.drain(jobs_of(), clock.patience())


def test_a_job_that_ended_before_it_was_drained_is_drained_enough(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock
) -> None:
    dataflow.add(NAME, LABELS, ("RUNNING", "CANCELLED"))

    assert f"{NAME} (job-1) is cancelled." in changes.drain(jobs_of(), clock.patience()).sentence


def test_missing_credentials_are_one_sentence(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
    monkeypatch.setenv("CLOUDSDK_CONFIG", "/nowhere")
    monkeypatch.setenv("NO_GCE_CHECK", "true")

    with pytest.raises(
        UserError, match="No Google credentials were found: run `gcloud auth application-default login`"
    ):
        changes.launch(jobs_of(), clock.patience())


def test_credentials_that_google_does_not_accept_are_one_sentence(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock
) -> None:
    dataflow.google.answers["POST /token"] = lambda _: (400, {"error": "invalid_grant"})

    with pytest.raises(UserError, match="does not accept the credentials of this account: run `gcloud auth applica"):
        changes.launch(jobs_of(), clock.patience())


def test_a_request_with_other_workers_is_another_job(dataflow: FakeDataflow, jobs_of: JobsOf) -> None:
    one, other = jobs_of(), jobs_of(changed(9, "launchParameter", "environment", "maxWorkers"))

    assert one.file.request_id != other.file.request_id

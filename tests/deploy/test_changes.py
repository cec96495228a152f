"""A stream has the job that its file describes, whatever was interrupted before."""

from collections.abc import Callable

import pytest

from rawless.deploy import changes
from rawless.deploy.waiting import JobNotReady
from rawless.errors import Unavailable, UserError
from tests.deploy.conftest import Clock, JobsOf
from tests.deploy.fake_dataflow import FakeDataflow
from tests.deploy.job_files import LABELS, NAME, changed
from tests.fake_google import refused

OTHER = changed(9, "launchParameter", "environment", "maxWorkers")
"""The request after `max_workers` was changed."""


class Killed(BaseException):
    """The process was killed while it waited."""


def killed_after(polls: int) -> Callable[[float], object]:
    """A sleep in which the process is killed the given time."""
    left = [polls]

    def sleep(_: float) -> None:
        left[0] -= 1
        if left[0] <= 0:
            raise Killed

    return sleep


# launch


def test_launch_waits_until_the_job_runs_and_says_where_to_see_it(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock
) -> None:
    done = changes.launch(jobs_of(), clock.patience())

    assert done.sentence == (
        f"{NAME} (job-1) of the stream message runs: "
        "https://console.cloud.google.com/dataflow/jobs/europe-west4/job-1?project=a-project"
    )
    assert clock.lines == [f"{NAME} is starting", f"{NAME} is queued", f"{NAME} is pending"]


def test_launch_does_nothing_if_the_job_runs(dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock) -> None:
    changes.launch(jobs_of(), clock.patience())

    done = changes.launch(jobs_of(), clock.patience())

    assert done.sentence.startswith(f"{NAME} (job-1) of the stream message already runs: ")
    assert len(dataflow.launched) == 1


def test_launch_refuses_to_start_a_second_request_and_names_what_changes_a_job(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock
) -> None:
    changes.launch(jobs_of(), clock.patience())

    with pytest.raises(UserError, match=r"`rawless job update .*`, or start a new one .* `rawless job replace .*`"):
        changes.launch(jobs_of(OTHER), clock.patience())
    assert len(dataflow.launched) == 1


@pytest.mark.parametrize("name", [NAME, "launched-by-terraform"])
def test_a_job_that_somebody_else_launched_for_the_stream_is_found_by_its_labels(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock, name: str
) -> None:
    dataflow.add(name, LABELS)

    with pytest.raises(UserError, match="by another request than that of"):
        changes.launch(jobs_of(), clock.patience())


def test_jobs_of_other_streams_and_jobs_that_ended_are_none_of_this_stream(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock
) -> None:
    dataflow.add("rawless-photo", {**LABELS, "stream": "photo"})
    dataflow.add("message", {**LABELS, "app": "other"})
    dataflow.add(NAME, LABELS, ("FAILED",))

    assert changes.launch(jobs_of(), clock.patience()).jobs[0].job_id == "job-4"


def test_a_job_on_a_later_page_of_the_list_is_found(dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock) -> None:
    for number in range(5):
        dataflow.add(f"batch-{number}", {"app": "x", "stream": "y"})
    changes.launch(jobs_of(), clock.patience())
    dataflow.page_size = 2

    assert "already runs" in changes.launch(jobs_of(), clock.patience()).sentence


def test_a_launch_whose_answer_was_lost_is_found_at_once(dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock) -> None:
    dataflow.before_answer = lambda: False

    done = changes.launch(jobs_of(), clock.patience())

    assert done.jobs[0].job_id == "job-1"
    assert dataflow.states() == {"job-1": "RUNNING"}


def test_a_launch_that_was_not_answered_and_did_nothing_is_one_sentence(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock
) -> None:
    dataflow.google.answers[next(name for name in dataflow.google.answers if "launch" in name)] = refused(503, "DOWN")

    with pytest.raises(Unavailable, match="did not answer the launch of rawless-message, which may have begun: run th"):
        changes.launch(jobs_of(), clock.patience())


@pytest.mark.parametrize("polls", [1, 2, 3])
def test_a_launch_that_was_killed_while_it_waited_goes_on_with_the_same_job(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock, polls: int
) -> None:
    dataflow.starts = ("QUEUED", "QUEUED", "QUEUED", "QUEUED", "PENDING", "PENDING", "RUNNING")
    with pytest.raises(Killed):
        changes.launch(jobs_of(), clock.patience(sleep=killed_after(polls)))

    done = changes.launch(jobs_of(), clock.patience())

    assert done.jobs[0].job_id == "job-1"
    assert len(dataflow.launched) == 1


def test_a_queued_job_without_labels_is_waited_for_before_its_request_is_judged(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock
) -> None:
    dataflow.starts = ("QUEUED", "QUEUED", "QUEUED", "QUEUED", "PENDING", "RUNNING")
    with pytest.raises(Killed):
        changes.launch(jobs_of(OTHER), clock.patience(sleep=killed_after(1)))

    with pytest.raises(UserError, match="by another request"):
        changes.launch(jobs_of(), clock.patience())


def test_two_persons_who_launch_at_once_start_one_job(dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock) -> None:
    """The second list of jobs was read before the first launch."""
    jobs = jobs_of()
    launch_of = type(jobs).launch

    def launch_after_somebody_else(self: object, name: str, *, update: bool = False) -> object:
        dataflow.add(name, {**LABELS, "rawless-request": jobs.file.request_id}, ("PENDING", "RUNNING"))
        return launch_of(jobs, name, update=update)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(jobs), "launch", launch_after_somebody_else)
        done = changes.launch(jobs, clock.patience())

    assert (done.jobs[0].job_id, dataflow.launched) == ("job-1", [])


def test_a_name_that_a_job_of_another_request_took_meanwhile_is_one_sentence(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock
) -> None:
    dataflow.google.answers[next(name for name in dataflow.google.answers if "launch" in name)] = refused(409, "TAKEN")

    with pytest.raises(Unavailable, match="has an active job named rawless-message already: run the command again"):
        changes.launch(jobs_of(), clock.patience())


def test_a_job_that_fails_while_it_starts_is_said_with_the_page_that_shows_why(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock
) -> None:
    dataflow.starts = ("QUEUED", "FAILED")

    with pytest.raises(JobNotReady, match=r"^rawless-message \(job-1\) did not start, it is failed: https://\S+ shows"):
        changes.launch(jobs_of(), clock.patience())


def test_a_job_that_does_not_start_is_waited_for_up_to_the_limit(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock
) -> None:
    dataflow.starts = ("QUEUED",)

    with pytest.raises(
        JobNotReady, match=r"is queued since 2026-11-29 20:00 UTC, and the limit of 60 s is reached: go "
    ):
        changes.launch(jobs_of(), clock.patience(60))
    assert clock.now == 60
    assert dataflow.states() == {"job-1": "QUEUED"}


def test_dataflow_may_be_away_while_a_job_starts(dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock) -> None:
    dataflow.starts = ("QUEUED", "QUEUED", "RUNNING")
    kept: dict[str, object] = {}

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        path = next(name for name in dataflow.google.answers if name.startswith("GET") and name.endswith("/job-1"))
        if clock.now == 10:
            kept[path] = dataflow.google.answers[path]
            dataflow.google.answers[path] = refused(503, "DOWN")
        elif clock.now == 20:
            dataflow.google.answers |= kept

    assert "runs: " in changes.launch(jobs_of(), clock.patience(sleep=sleep)).sentence


def test_a_new_job_starts_beside_one_that_still_drains(dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock) -> None:
    dataflow.add(NAME, LABELS, ("DRAINING",))

    done = changes.launch(jobs_of(), clock.patience())

    assert done.jobs[0].name == jobs_of().file.replacement_name()


# update


def test_an_update_takes_the_place_of_the_running_job_under_its_name(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock
) -> None:
    changes.launch(jobs_of(), clock.patience())

    done = changes.update(jobs_of(OTHER), clock.patience())

    assert done.sentence.startswith(f"{NAME} (job-2) took the place of {NAME} (job-1) and runs: ")
    assert dataflow.states() == {"job-1": "UPDATED", "job-2": "RUNNING"}
    assert changes.update(jobs_of(OTHER), clock.patience()).sentence == (
        f"{NAME} (job-2) already runs with this request, so nothing was done."
    )
    assert len(dataflow.launched) == 2


def test_an_update_keeps_the_name_that_a_replacement_gave_the_job(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock
) -> None:
    dataflow.add(f"{NAME}-0123abcd", LABELS)

    assert changes.update(jobs_of(), clock.patience()).jobs[0].name == f"{NAME}-0123abcd"


def test_an_update_that_dataflow_cannot_do_leaves_the_old_job_and_names_replace(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock
) -> None:
    changes.launch(jobs_of(), clock.patience())
    dataflow.starts = ("QUEUED", "PENDING", "FAILED")

    with pytest.raises(JobNotReady, match=r"\(job-2\) did not start, it is failed.*\(job-1\) still runs.*job replace"):
        changes.update(jobs_of(OTHER), clock.patience())
    assert dataflow.states() == {"job-1": "RUNNING", "job-2": "FAILED"}


def test_an_update_that_was_killed_goes_on(dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock) -> None:
    changes.launch(jobs_of(), clock.patience())
    with pytest.raises(Killed):
        changes.update(jobs_of(OTHER), clock.patience(sleep=killed_after(1)))

    changes.update(jobs_of(OTHER), clock.patience())

    assert dataflow.states() == {"job-1": "UPDATED", "job-2": "RUNNING"}


def test_without_a_job_there_is_nothing_to_update(dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock) -> None:
    with pytest.raises(UserError, match="No job of the stream message runs: start one by `rawless job launch"):
        changes.update(jobs_of(), clock.patience())


def test_two_jobs_cannot_be_updated(dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock) -> None:
    dataflow.add("a", LABELS)
    dataflow.add("b", LABELS)

    with pytest.raises(UserError, match=r"a \(job-1\) and b \(job-2\) of the stream message are active.*job replace"):
        changes.update(jobs_of(), clock.patience())


# drain


def test_drain_waits_until_all_jobs_of_the_stream_have_ended(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock
) -> None:
    dataflow.add("a", LABELS)
    dataflow.add("b", LABELS, ("PENDING", "PENDING", "PENDING", "RUNNING"))
    dataflow.add("other", {**LABELS, "stream": "photo"})

    done = changes.drain(jobs_of(), clock.patience())

    assert done.sentence.startswith("a (job-1) is drained. b (job-2) is drained. Messages wait in the subscription")
    assert dataflow.states() == {"job-1": "DRAINED", "job-2": "DRAINED", "job-3": "RUNNING"}


def test_drain_can_be_run_again(dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock) -> None:
    job = dataflow.add(NAME, LABELS)
    with pytest.raises(Killed):
        changes.drain(jobs_of(), clock.patience(sleep=killed_after(1)))

    changes.drain(jobs_of(), clock.patience())

    assert (job.state, job.drained) == ("DRAINED", 1)
    assert (
        "No job of the stream message runs, so nothing was done." in changes.drain(jobs_of(), clock.patience()).sentence
    )


def test_a_drain_that_takes_longer_than_the_limit_goes_on_and_says_so(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock
) -> None:
    dataflow.drains = ("DRAINING",)
    dataflow.add(NAME, LABELS)

    with pytest.raises(
        JobNotReady, match=r"is draining since .*, and the limit of 30 s is reached: go on by `rawless j"
    ):
        changes.drain(jobs_of(), clock.patience(30))
    assert clock.now == 30


def test_a_job_that_never_starts_is_not_cancelled_but_the_command_is_named(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock
) -> None:
    dataflow.add(NAME, LABELS, ("QUEUED",))

    with pytest.raises(
        JobNotReady, match=r"read nothing yet; .* `gcloud dataflow jobs cancel job-1 --project a-projec"
    ):
        changes.drain(jobs_of(), clock.patience(30))


# replace


def test_replace_drains_the_old_job_only_after_the_new_one_runs(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock
) -> None:
    changes.launch(jobs_of(), clock.patience())
    seen: list[tuple[str, ...]] = []

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        seen.append(tuple(dataflow.states().values()))

    done = changes.replace(jobs_of(OTHER), clock.patience(sleep=sleep))

    assert all(old == "RUNNING" for old, new in seen if new != "RUNNING")
    assert dataflow.states() == {"job-1": "DRAINED", "job-2": "RUNNING"}
    assert done.jobs[0].name == jobs_of(OTHER).file.replacement_name()
    assert done.sentence.endswith(f"{NAME} (job-1) is drained.")


def test_the_old_job_runs_on_if_the_new_one_fails(dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock) -> None:
    changes.launch(jobs_of(), clock.patience())
    dataflow.starts = ("QUEUED", "FAILED")

    with pytest.raises(JobNotReady, match=r"\(job-2\) did not start, it is failed: .*\(job-1\) still runs"):
        changes.replace(jobs_of(OTHER), clock.patience())
    assert dataflow.states() == {"job-1": "RUNNING", "job-2": "FAILED"}


@pytest.mark.parametrize("polls", [1, 2, 3, 4, 5])
def test_a_replacement_that_was_killed_anywhere_goes_on(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock, polls: int
) -> None:
    changes.launch(jobs_of(), clock.patience())
    with pytest.raises(Killed):
        changes.replace(jobs_of(OTHER), clock.patience(sleep=killed_after(polls)))

    changes.replace(jobs_of(OTHER), clock.patience())

    assert dataflow.states() == {"job-1": "DRAINED", "job-2": "RUNNING"}
    assert [job.drained for job in dataflow.jobs] == [1, 0]


def test_a_replacement_whose_answer_was_lost_starts_one_job(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock
) -> None:
    changes.launch(jobs_of(), clock.patience())
    dataflow.before_answer = lambda: False

    changes.replace(jobs_of(OTHER), clock.patience())

    assert dataflow.states() == {"job-1": "DRAINED", "job-2": "RUNNING"}


def test_the_way_back_does_not_wait_for_a_drain(dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock) -> None:
    """The job of the first request still drains under the name that a new one would have."""
    changes.launch(jobs_of(OTHER), clock.patience())
    dataflow.drains = ("DRAINING",) * 40 + ("DRAINED",)
    with pytest.raises(JobNotReady):
        changes.replace(jobs_of(), clock.patience(30))
    for _ in range(2):
        with pytest.raises(JobNotReady):
            changes.replace(jobs_of(OTHER), clock.patience(30))
        with pytest.raises(JobNotReady):
            changes.replace(jobs_of(), clock.patience(30))

    names = [job.name for job in dataflow.jobs]
    assert len(set(names)) == len(names) == 6
    assert [job.state for job in dataflow.jobs if job.is_active][-1] == "RUNNING"


def test_a_replacement_is_named_for_its_request_whatever_the_old_job_is_called(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock
) -> None:
    dataflow.add("launched-by-terraform", LABELS)

    new, old = changes.replace(jobs_of(), clock.patience()).jobs

    assert new.name == f"{NAME}-{jobs_of().file.digest[:8]}"
    assert old.condition == "drained"


def test_replace_starts_the_job_if_none_runs(dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock) -> None:
    assert changes.replace(jobs_of(), clock.patience()).jobs[0].name == NAME


def test_replace_does_nothing_if_the_only_job_is_the_one_of_the_file(
    dataflow: FakeDataflow, jobs_of: JobsOf, clock: Clock
) -> None:
    changes.launch(jobs_of(), clock.patience())

    changes.replace(jobs_of(), clock.patience())

    assert (len(dataflow.launched), dataflow.states()) == (1, {"job-1": "RUNNING"})

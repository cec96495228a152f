"""A job file is what Dataflow's API takes, and whatever it would refuse is named."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from google.cloud.dataflow_v1beta3 import LaunchFlexTemplateRequest
from google.protobuf.json_format import ParseDict

from rawless.deploy.job_file import parse_job_file, read_job_file
from rawless.errors import UserError
from tests.deploy.job_files import LABELS, NAME, REQUEST, changed, write

_PARAMETER = "launchParameter"
_ENVIRONMENT = (_PARAMETER, "environment")


def test_a_job_file_says_where_its_job_runs_and_how_it_is_found(tmp_path: Path) -> None:
    file = read_job_file(write(tmp_path))

    assert (file.project, file.location, file.name, file.stream) == ("a-project", "europe-west4", NAME, "message")
    assert file.labels == LABELS


def test_the_hash_is_of_the_content_and_not_of_its_layout() -> None:
    as_written = parse_job_file(json.dumps(REQUEST).encode(), "a")
    by_hand = parse_job_file(json.dumps(REQUEST, indent=4, sort_keys=True).encode(), "b")
    other = parse_job_file(json.dumps(changed(5, *_ENVIRONMENT, "maxWorkers")).encode(), "c")

    assert as_written.digest == by_hand.digest != other.digest
    assert re.fullmatch(r"[0-9a-f]{16}", as_written.request_id)


def test_what_is_sent_is_the_file_with_the_label_of_its_request() -> None:
    file = parse_job_file(json.dumps(REQUEST).encode(), "a")

    sent = file.launch_body("another-name", update=True)

    assert ParseDict(sent, LaunchFlexTemplateRequest.pb(LaunchFlexTemplateRequest()))
    labels = {**LABELS, "rawless-request": file.request_id}
    expected = changed(labels, *_ENVIRONMENT, "additionalUserLabels")[_PARAMETER]
    assert sent == {_PARAMETER: {**expected, "jobName": "another-name", "update": True}}
    assert file.request == REQUEST


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (
            changed("THROUGHPUT_BASED", *_ENVIRONMENT, "autoscalingAlgorithm"),
            "launchParameter.environment.autoscalingAlgorithm is THROUGHPUT_BASED, but Dataflow knows only "
            "AUTOSCALING_ALGORITHM_UNKNOWN, AUTOSCALING_ALGORITHM_NONE, AUTOSCALING_ALGORITHM_BASIC.",
        ),
        (
            changed(7, *_ENVIRONMENT, "ipConfiguration"),
            "launchParameter.environment.ipConfiguration is 7, but Dataflow knows only WORKER_IP_UNSPECIFIED, "
            "WORKER_IP_PUBLIC, WORKER_IP_PRIVATE.",
        ),
        (
            changed(1, *_ENVIRONMENT, "num_wrokers"),
            "the field launchParameter.environment.num_wrokers is unknown to Dataflow; remove it or correct its name.",
        ),
        (changed({}, "lauchParameter"), "the field lauchParameter is unknown to Dataflow"),
        (
            changed("many", *_ENVIRONMENT, "maxWorkers"),
            "launchParameter.environment.maxWorkers has a value that Dataflow refuses: invalid literal for int()",
        ),
        (changed(1.5, *_ENVIRONMENT, "maxWorkers"), "environment.maxWorkers has a value that Dataflow refuses: Could"),
        (changed(4, _PARAMETER, "parameters", "threads"), "launchParameter.parameters has a value that Dataflow refus"),
        (changed(None, "projectId"), "the field projectId is missing; add it."),
        (changed(None, _PARAMETER), "the field launchParameter.jobName is missing; add it."),
        (changed(None, _PARAMETER, "containerSpecGcsPath"), "launchParameter.containerSpecGcsPath is missing; add it."),
        (changed({"app": "a"}, *_ENVIRONMENT, "additionalUserLabels"), "additionalUserLabels.stream is missing"),
        (
            changed("x", *_ENVIRONMENT, "additionalUserLabels", "rawless-request"),
            "the label rawless-request is set, but `rawless job` computes it; remove it.",
        ),
        (changed("Message", _PARAMETER, "jobName"), "launchParameter.jobName is 'Message', but must be"),
        (changed(True, _PARAMETER, "update"), "launchParameter.update is set, but belongs to no job file"),
        (changed(True, "validateOnly"), "validateOnly is true, which would launch nothing"),
        ([], "it is no JSON object"),
    ],
)
def test_what_dataflow_would_refuse_is_named_with_its_field(tmp_path: Path, request_: Any, words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)) as raised:
        read_job_file(write(tmp_path, request_))

    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(f"The job file {tmp_path}/message.json: ")


@pytest.mark.parametrize("content", [b"{", b'{"projectId": "a", "projectId": "b"}', b"\xff", b"stream: message"])
def test_a_file_that_is_no_json_is_refused_in_one_sentence(content: bytes) -> None:
    with pytest.raises(UserError, match=r"^The job file x: it is .*\.$"):
        parse_job_file(content, "x")


def test_a_missing_file_is_refused_with_where_to_find_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist: check the path, or name one of the addresses that `terraform"):
        read_job_file(str(tmp_path / "missing.json"))

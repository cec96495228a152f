"""A job file as Terraform writes it, and changes of it."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.deploy.fake_dataflow import LOCATION, PROJECT

NAME = "rawless-message"
LABELS = {"app": "rawless", "stream": "message"}
REQUEST: dict[str, Any] = {
    "projectId": PROJECT,
    "location": LOCATION,
    "launchParameter": {
        "jobName": NAME,
        "containerSpecGcsPath": "gs://a-project-rawless-config/templates/rawless.json",
        "parameters": {
            "stream": "gs://a-project-rawless-config/streams/message-0123456789ab.yaml",
            "device": "cuda",
        },
        "environment": {
            "numWorkers": 1,
            "maxWorkers": 4,
            "machineType": "g2-standard-4",
            "autoscalingAlgorithm": "AUTOSCALING_ALGORITHM_BASIC",
            "ipConfiguration": "WORKER_IP_PRIVATE",
            "enableStreamingEngine": True,
            "serviceAccountEmail": "rawless-w-message@a-project.iam.gserviceaccount.com",
            "additionalUserLabels": LABELS,
        },
    },
}


def changed(value: Any, *path: str) -> dict[str, Any]:
    """The request with another value at a path, or without the field if the value is None."""
    request = deepcopy(REQUEST)
    fields = request
    for name in path[:-1]:
        fields = fields[name]
    if value is None:
        del fields[path[-1]]
    else:
        fields[path[-1]] = value
    return request


def write(folder: Path, request: Any = REQUEST, name: str = "message.json") -> str:
    """Write a job file and return its path."""
    path = folder / name
    path.write_text(json.dumps(request))
    return str(path)

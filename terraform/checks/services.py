"""Services: probes that reach them, and revisions that follow the files that they read."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from terraform.checks.plan import Resource

SERVICE = "google_cloud_run_v2_service"
_OBJECT = "google_storage_bucket_object"
_PROBES = ("startup_probe", "liveness_probe")


def violations(resources: Sequence[Resource]) -> Iterator[str]:
    """Services whose probes or files are not as Cloud Run needs them."""
    objects = {each.values["name"]: each.values["content"] for each in resources if each.type == _OBJECT}
    for service in (each for each in resources if each.type == SERVICE):
        (template,) = service.values["template"]
        (container,) = template["containers"]
        for problem in (*_probes(container), *_files(template, container, objects)):
            yield f"{service.address} {problem}"


def _probes(container: dict[str, Any]) -> Iterator[str]:
    for name in _PROBES:
        paths = [request["path"] for probe in container[name] for request in probe["http_get"]]
        if not paths:
            yield f"has no {name} by HTTP"
        for path in paths:
            if path.endswith("z"):
                yield f"has the {name} {path}, but Cloud Run keeps paths that end with z to itself: use /health"


def _files(template: dict[str, Any], container: dict[str, Any], objects: dict[str, str]) -> Iterator[str]:
    names = [word.removeprefix("/config/") for word in container["args"] if word.startswith("/config/")]
    missing = [name for name in names if name not in objects]
    missing += [stream for name in names for stream in _streams(objects.get(name, "")) if stream not in objects]
    if missing:
        yield f"reads {', '.join(missing)}, which is no object of the plan"
    digest = hashlib.sha256("".join(objects.get(name, "") for name in names).encode()).hexdigest()
    if (template["labels"] or {}).get("configuration") != digest[:12]:
        yield "would go on with the files that it read, because a change of one creates no revision"


def _streams(file: str) -> list[str]:
    """The stream files that a service file names."""
    heads = (yaml.safe_load(file) or {}).get("heads") or {}
    return [head["stream"] for head in heads.values() if "stream" in head]

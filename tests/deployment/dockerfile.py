"""What must hold of the Dockerfile, judged from its parsed instructions."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

from dockerfile_parse import DockerfileParser

OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "RAWLESS_HUB": "0"}
_BASE = re.compile(r"(?P<name>[a-z0-9./_-]+[a-z0-9]):(?P<tag>[A-Za-z0-9._-]+)@\$\{(?P<digest>[A-Z_]+)\}")
_FINAL = ("cpu", "cuda", "service")


def faults(file: Path, lock: Path) -> list[str]:
    """What is wrong with it, a sentence each; empty when all holds."""
    steps = [each for each in DockerfileParser(str(file)).structure if each["instruction"] != "COMMENT"]
    return [*_bases(steps), *_pythons(steps, lock), *_installs(steps), *_copies(steps), *_environment(steps)]


def stages(steps: list[dict[str, Any]]) -> dict[str, tuple[str, list[dict[str, Any]]]]:
    """What each stage is from, and its instructions."""
    found: dict[str, tuple[str, list[dict[str, Any]]]] = {}
    for step in steps:
        if step["instruction"] == "FROM":
            origin, _, name = step["value"].partition(" AS ")
            found[name] = (origin, own := [])
        elif found:
            own.append(step)
    return found


def _origins(steps: list[dict[str, Any]]) -> dict[str, str]:
    """The images that stages are from, other stages left out."""
    found = stages(steps)
    return {name: origin for name, (origin, _) in found.items() if origin not in found}


def _bases(steps: list[dict[str, Any]]) -> list[str]:
    arguments = {step["value"] for step in steps if step["instruction"] == "ARG"}
    wrong = []
    for name, origin in _origins(steps).items():
        match = _BASE.fullmatch(origin)
        if not match or match["tag"] == "latest":
            wrong.append(
                f"The base of {name} is {origin}: pin it by a version and by a digest that is a build argument."
            )
        elif match["digest"] not in arguments:
            wrong.append(f"{match['digest']} must be a build argument without a default.")
    return wrong


def _pythons(steps: list[dict[str, Any]], lock: Path) -> list[str]:
    origins = _origins(steps)
    sdk = re.search(r"beam_python(\d\.\d+)_sdk:([\d.]+)", origins.get("beam", ""))
    base = re.search(r"python:(\d\.\d+)\.\d+-", origins.get("base", ""))
    launcher = re.search(r"/python(\d)(\d+)-template-launcher-base:", origins.get("launcher", ""))
    if not (sdk and base and launcher):
        return ["The stages beam, base and launcher must be from Beam's SDK image, Python's and the launcher's."]
    wrong = []
    if base[1] != sdk[1]:
        wrong.append(f"The image has Python {base[1]}, but Beam's SDK image has {sdk[1]}: they must be the same.")
    if f"{launcher[1]}.{launcher[2]}" != sdk[1]:
        wrong.append(f"The launcher is for Python {launcher[1]}.{launcher[2]}, but Beam's SDK image has {sdk[1]}.")
    if f"apache-beam=={sdk[2]} " not in lock.read_text():
        wrong.append(f"Beam's SDK image is {sdk[2]}, but {lock.name} has another version of apache-beam.")
    return wrong


def _installs(steps: list[dict[str, Any]]) -> list[str]:
    runs = [step["value"] for step in steps if step["instruction"] == "RUN"]
    words = [shlex.split(part) for run in runs for part in re.split(r"&&|;|\|", run)]
    wrong = [
        f"'{shlex.join(install)}' takes what it finds: install by hashes, or without dependencies."
        for install in words
        if "install" in install and not {"--require-hashes", "--no-deps"} & set(install)
    ]
    if ["python", "-m", "pip", "check"] not in words:
        wrong.append("The build must run pip check.")
    baked = any("encoder bake" in run for run in runs)
    return wrong if baked else [*wrong, "The build must bake the encoders, which verifies their digests."]


def _copies(steps: list[dict[str, Any]]) -> list[str]:
    copied = {step["value"] for step in stages(steps).get("cpu", ("", []))[1] if step["instruction"] == "COPY"}
    needed = {f"--from=beam {_twice('/opt/apache/beam')}"}
    needed |= {f"--from=launcher {_twice('/opt/google/dataflow/python_template_launcher')}"}
    return [f"The image must COPY {each}." for each in sorted(needed - copied)]


def _twice(path: str) -> str:
    return f"{path} {path}"


def _environment(steps: list[dict[str, Any]]) -> list[str]:
    found, wrong = stages(steps), []
    for name in _FINAL:
        lineage = _lineage(found, name)
        environment = dict(
            word.split("=", 1)
            for step in lineage
            if step["instruction"] == "ENV"
            for word in shlex.split(step["value"])
        )
        wrong += [f"{name} must set {key}={value}." for key, value in OFFLINE.items() if environment.get(key) != value]
    for name in ("cpu", "cuda"):
        points = [json.loads(step["value"]) for step in _lineage(found, name) if step["instruction"] == "ENTRYPOINT"]
        if points[-1:] != [["/opt/apache/beam/boot"]]:
            wrong.append(f"{name} must start by Beam's boot.")
    if not any(step["instruction"] == "USER" for step in _lineage(found, "service")):
        wrong.append("The services must not run as root.")
    return wrong


def _lineage(found: dict[str, tuple[str, list[dict[str, Any]]]], name: str) -> list[dict[str, Any]]:
    """The instructions of a stage and of all that it is from, first ones first."""
    origin, own = found.get(name, ("", []))
    return [*(_lineage(found, origin) if origin in found else []), *own]

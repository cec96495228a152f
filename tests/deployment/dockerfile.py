"""Rules that the Dockerfile must follow, checked on its parsed instructions."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

from dockerfile_parse import DockerfileParser

OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "RAWLESS_HUB": "0"}
BAKED = {"RAWLESS_SPECS": "/opt/rawless/specs", "RAWLESS_WEIGHTS": "/opt/rawless/weights"}
GIVEN = ("specs", "weights")
"""The stages that a build context of the same name replaces."""
_BASE = re.compile(r"(?P<name>[a-z0-9./_-]+[a-z0-9]):(?P<tag>[A-Za-z0-9._-]+)@\$\{(?P<digest>[A-Z_]+)\}")
_STARTS = {"cpu": ["/opt/apache/beam/boot"], "cuda": ["/template/cuda.sh", "/opt/apache/beam/boot"]}
_FINAL = ("cpu", "cuda", "service")


def violations(file: Path, lock: Path) -> list[str]:
    """The violated rules, one sentence each."""
    steps = [step for step in DockerfileParser(str(file)).structure if step["instruction"] != "COMMENT"]
    return [
        *_bases(steps),
        *_pythons(steps, lock),
        *_installs(steps),
        *_bakes(steps),
        *_copies(steps),
        *_driver(steps, lock),
        *_environment(steps),
    ]


def environment(file: Path, target: str) -> dict[str, str]:
    """The variables that a stage sets."""
    stages = parse_stages(DockerfileParser(str(file)).structure)
    return _variables(_lineage(stages, target))


def baking_of(file: Path) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """What `baking` returns for a Dockerfile."""
    return baking(DockerfileParser(str(file)).structure)


def parse_stages(steps: list[dict[str, Any]]) -> dict[str, tuple[str, list[dict[str, Any]]]]:
    """The origin and the instructions of each stage."""
    stages: dict[str, tuple[str, list[dict[str, Any]]]] = {}
    for step in steps:
        if step["instruction"] == "FROM":
            origin, _, name = step["value"].partition(" AS ")
            stages[name] = (origin, instructions := [])
        elif stages:
            instructions.append(step)
    return stages


def _origins(steps: list[dict[str, Any]]) -> dict[str, str]:
    """The images on which stages are based, without stages that are based on other stages."""
    stages = parse_stages(steps)
    return {name: origin for name, (origin, _) in stages.items() if origin not in (*stages, "scratch")}


def _bases(steps: list[dict[str, Any]]) -> list[str]:
    arguments = {step["value"] for step in steps if step["instruction"] == "ARG"}
    wrong = []
    for name, origin in _origins(steps).items():
        match = _BASE.fullmatch(origin)
        if not match or match["tag"] == "latest":
            wrong.append(f"The base of {name} is {origin}: pin it by version and by a digest that is a build argument.")
        elif match["digest"] not in arguments:
            wrong.append(f"{match['digest']} must be a build argument without a default.")
    return wrong


def _pythons(steps: list[dict[str, Any]], lock: Path) -> list[str]:
    origins = _origins(steps)
    sdk = re.search(r"beam_python(\d\.\d+)_sdk:([\d.]+)", origins.get("beam", ""))
    base = re.search(r"python:(\d\.\d+)\.\d+-", origins.get("base", ""))
    launcher = re.search(r"/python(\d)(\d+)-template-launcher-base:", origins.get("launcher", ""))
    if not (sdk and base and launcher):
        return [
            "The stages beam, base and launcher must be based on the images of Beam's SDK, Python and the launcher."
        ]
    wrong = []
    if base[1] != sdk[1]:
        wrong.append(f"The image has Python {base[1]}, but Beam's SDK image has {sdk[1]}: they must match.")
    if f"{launcher[1]}.{launcher[2]}" != sdk[1]:
        wrong.append(f"The launcher is for Python {launcher[1]}.{launcher[2]}, but Beam's SDK image has {sdk[1]}.")
    if f"apache-beam=={sdk[2]} " not in lock.read_text():
        wrong.append(f"Beam's SDK image is {sdk[2]}, but {lock.name} has another version of apache-beam.")
    return wrong


def _installs(steps: list[dict[str, Any]]) -> list[str]:
    runs = [step["value"] for step in steps if step["instruction"] == "RUN"]
    words = [shlex.split(part) for run in runs for part in re.split(r"&&|;|\|", run)]
    wrong = [
        f"'{shlex.join(install)}' is not reproducible: install with --require-hashes or --no-deps."
        for install in words
        if "install" in install and not {"--require-hashes", "--no-deps"} & set(install)
    ]
    if ["python", "-m", "pip", "check"] not in words:
        wrong.append("The build must run pip check.")
    return wrong


def baking(steps: list[dict[str, Any]]) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """The stages that the step which bakes mounts, by their target, its own environment, and its command.

    All are empty where no step bakes.
    """
    runs = [step["value"] for step in steps if step["instruction"] == "RUN" and "encoder bake" in step["value"]]
    words = shlex.split(runs[0]) if runs else []
    mounts = [
        dict(part.partition("=")[::2] for part in word[8:].split(",")) for word in words if word[:8] == "--mount="
    ]
    rest = [word for word in words if word[:8] != "--mount="]
    at = rest.index("rawless") if rest else 0
    environment = dict(word.split("=", 1) for word in rest[:at])
    return {mount["target"]: mount["from"] for mount in mounts}, environment, rest[at:]


def _bakes(steps: list[dict[str, Any]]) -> list[str]:
    mounted, environment, command = baking(steps)
    if not command:
        return ["The build must bake the encoders, which verifies their digests."]
    stages, wrong = parse_stages(steps), []
    if command != ["rawless", "encoder", "bake", "--into", "/opt/rawless", "${ENCODERS}"]:
        wrong.append("The build must bake ENCODERS into /opt/rawless.")
    for name in GIVEN:
        if stages.get(name) != ("scratch", []):
            wrong.append(f"The stage {name} must be empty, so that a build without a folder has none.")
        if mounted.get(environment.get(f"RAWLESS_{name.upper()}", "")) != name:
            wrong.append(f"The build must take {name} from the stage {name}, which a folder of the user's replaces.")
    return wrong


def _copies(steps: list[dict[str, Any]]) -> list[str]:
    copied = {step["value"] for step in parse_stages(steps).get("cpu", ("", []))[1] if step["instruction"] == "COPY"}
    needed = {f"--from=beam {_same_path('/opt/apache/beam')}"}
    needed |= {f"--from=launcher {_same_path('/opt/google/dataflow/python_template_launcher')}"}
    return [f"The image must COPY {arguments}." for arguments in sorted(needed - copied)]


def _driver(steps: list[dict[str, Any]], lock: Path) -> list[str]:
    """The libcuda that replaces that of an older driver must be of the version of CUDA that torch needs."""
    base = re.search(r"nvidia/cuda:(\d+\.\d+)\.", _origins(steps).get("compat", ""))
    toolkit = re.search(r"^cuda-toolkit==(\d+\.\d+)\.", lock.read_text(), re.MULTILINE)
    if not (base and toolkit):
        return ["The stage compat must be based on NVIDIA's image of CUDA, of the version of cuda-toolkit in the lock."]
    wrong = []
    if base[1] != toolkit[1]:
        wrong.append(f"The image has a libcuda of CUDA {base[1]}, but {lock.name} has CUDA {toolkit[1]}.")
    copied = {step["value"] for step in parse_stages(steps)["cuda"][1] if step["instruction"] == "COPY"}
    if f"--from=compat /usr/local/cuda-{base[1]}/compat /usr/local/cuda/compat" not in copied:
        wrong.append("cuda must COPY the compatibility package.")
    return wrong


def _same_path(path: str) -> str:
    return f"{path} {path}"


def _environment(steps: list[dict[str, Any]]) -> list[str]:
    stages, wrong, needed = parse_stages(steps), [], (OFFLINE | BAKED).items()
    for name in _FINAL:
        variables = _variables(_lineage(stages, name))
        wrong += [f"{name} must set {key}={value}." for key, value in needed if variables.get(key) != value]
    for name, start in _STARTS.items():
        points = [json.loads(step["value"]) for step in _lineage(stages, name) if step["instruction"] == "ENTRYPOINT"]
        if points[-1:] != [start]:
            wrong.append(f"{name} must start Beam's boot by {shlex.join(start)}.")
    users = [step["value"] for step in _lineage(stages, "service") if step["instruction"] == "USER"]
    if not users or users[-1].partition(":")[0] in ("root", "0"):
        wrong.append("The services must not run as root.")
    return wrong


def _variables(lineage: list[dict[str, Any]]) -> dict[str, str]:
    words = [shlex.split(step["value"]) for step in lineage if step["instruction"] == "ENV"]
    return dict(word.split("=", 1) for each in words for word in each)


def _lineage(stages: dict[str, tuple[str, list[dict[str, Any]]]], name: str) -> list[dict[str, Any]]:
    """The instructions of a stage and of the stages on which it is based, in the order of the build."""
    origin, instructions = stages.get(name, ("", []))
    return [*(_lineage(stages, origin) if origin in stages else []), *instructions]

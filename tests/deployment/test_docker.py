"""The image, built by `make image` and started, where a Docker engine answers.

The digests of the base images are looked up, unless they are set (PYTHON_DIGEST and the others of the Dockerfile).
"""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.deployment.programs import CHECKS

pytestmark = pytest.mark.docker
ROOT = Path(__file__).parents[2]
ENCODERS = "our-texts@1.0.0 resnet18-seeded@1.0.0"
TARGETS = ("cpu", "cuda", "service")
BUILD_SECONDS, RUN_SECONDS = 3600, 120
_BASE = re.compile(r"^FROM (\S+)@\$\{(\w+_DIGEST)\}", re.MULTILINE)


def _docker(*words: str, seconds: float = RUN_SECONDS) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, timeout=seconds)


@pytest.fixture(scope="session")
def digests() -> dict[str, str]:
    """The digests of the base images, by build argument. Skips where no Docker engine answers."""
    if shutil.which("docker") is None or _docker("info").returncode:
        pytest.skip("there is no Docker engine here")
    found = {}
    for image, name in _BASE.findall((ROOT / "Dockerfile").read_text(encoding="utf-8")):
        looked_up = ("buildx", "imagetools", "inspect", image, "--format", "{{.Manifest.Digest}}")
        found[name] = os.environ.get(name) or _docker(*looked_up).stdout.strip()
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", found[name]), f"{name} cannot be looked up: set it"
    return found


@pytest.fixture(scope="session", params=TARGETS)
def image(request: pytest.FixtureRequest, digests: dict[str, str], given: Path) -> str:
    """The tag of a target that `make image` has built, with encoders from folders of the user's."""
    target, tag = request.param, f"rawless-test:{request.param}"
    line = ["make", "image", f"VARIANT={target}", f"IMAGE={tag}", f"ENCODERS={ENCODERS}"]
    line += [f"SPECS={given / 'specs'}", f"WEIGHTS={given / 'weights'}"]
    line += [f"{name}={digest}" for name, digest in digests.items()]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=BUILD_SECONDS)
    assert done.returncode == 0, done.stderr[-4000:]
    return tag


def test_the_base_images_are_those_of_the_dockerfile() -> None:
    assert len(_BASE.findall((ROOT / "Dockerfile").read_text(encoding="utf-8"))) == 4


@pytest.mark.parametrize("what", CHECKS)
def test_it_can_start_without_root_and_without_a_network(what: str, image: str) -> None:
    first, *others = CHECKS[what].words
    options = ("--rm", "--network", "none", "--user", "65532:65532", "--entrypoint", first)

    done = _docker("run", *options, image, *others)

    assert done.returncode == CHECKS[what].code, done.stderr
    assert CHECKS[what].says in done.stdout + done.stderr


def test_it_has_the_encoders_that_were_named_and_nothing_else(image: str) -> None:
    done = _docker("run", "--rm", "--entrypoint", "find", image, "/opt/rawless", "-name", "*.yaml")

    assert sorted(done.stdout.split()) == [f"/opt/rawless/specs/{ref}.yaml" for ref in ENCODERS.split()]


def test_a_worker_and_a_launcher_start_by_their_programs(image: str) -> None:
    if image.endswith(":service"):
        pytest.skip("its entry point is rawless serve")
    boot = _docker("run", "--rm", image)
    launcher = _docker(
        "run", "--rm", "--entrypoint", "test", image, "-x", "/opt/google/dataflow/python_template_launcher"
    )

    assert boot.returncode != 0
    assert "No id provided" in boot.stdout + boot.stderr
    assert launcher.returncode == 0


def test_only_the_image_for_gpus_has_a_libcuda_for_older_drivers(image: str) -> None:
    looked_for = _docker("run", "--rm", "--entrypoint", "test", image, "-e", "/usr/local/cuda/compat/libcuda.so.1")

    assert (looked_for.returncode == 0) == image.endswith(":cuda")


def test_the_services_run_as_a_user_without_privileges(image: str) -> None:
    (config,) = json.loads(_docker("image", "inspect", image).stdout)

    assert config["Config"]["User"] == ("65532:65532" if image.endswith(":service") else "")


@contextmanager
def _running(*words: str) -> Iterator[str]:
    """The id of a container that is removed afterwards."""
    started = _docker("run", "--detach", *words)
    assert started.returncode == 0, started.stderr
    container = started.stdout.strip()
    try:
        yield container
    finally:
        _docker("rm", "--force", container)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_a_service_answers_from_a_file_that_is_mounted_read_only(image: str, given: Path) -> None:
    """As on Cloud Run, on PORT."""
    entry = ("/config/service.yaml", "--role", "encoder", "--host", "0.0.0.0")
    options = ("--volume", f"{given / 'config'}:/config:ro", "--env", "PORT=8080")
    command = (image, *entry) if image.endswith(":service") else ("--entrypoint", "rawless", image, "serve", *entry)

    with _running("--publish", "127.0.0.1::8080", *options, *command) as container:
        address = _docker("port", container, "8080/tcp").stdout.split()[0]
        deadline = time.monotonic() + RUN_SECONDS
        while not (answers := _answers(f"http://{address}/health")) and time.monotonic() < deadline:
            assert _docker("inspect", "--format", "{{.State.Running}}", container).stdout.strip() == "true"

        assert answers, _docker("logs", container).stderr
        assert httpx.get(f"http://{address}/v1/encoders", trust_env=False).status_code == 401

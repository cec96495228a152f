"""The last step of the build and the commands of the targets, without Docker: in folders, from the wheel.

Links to the packages of this checkout stand for those of the image's lock file, and folders for its root. Root lets
another user run the commands, unless this interpreter is where only root may read.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from rawless.deploy.image import image_contents
from tests.deployment.dockerfile import baking_of
from tests.deployment.dockerfile import environment as variables_of
from tests.deployment.packages import link_packages
from tests.deployment.programs import CHECKS, SECONDS, Check, serving

pytestmark = pytest.mark.full
ROOT = Path(__file__).parents[2]
DOCKERFILE = "Dockerfile"
ENCODERS = "our-texts@1.0.0 resnet18-seeded@1.0.0"
_INTERPRETER = Path(sys.executable).resolve()
IS_PUBLIC = all(each.stat().st_mode & 0o005 == 0o005 for each in (_INTERPRETER, *_INTERPRETER.parents))
WITHOUT_ROOT: dict[str, Any] = (
    {"user": 65532, "group": 65532, "extra_groups": []} if os.geteuid() == 0 and IS_PUBLIC else {}
)
Place = Callable[[str], str]


@pytest.fixture(scope="module")
def dockerfile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, which the parser may change."""
    return Path(shutil.copy(ROOT / DOCKERFILE, tmp_path_factory.mktemp("dockerfile")))


@pytest.fixture(scope="module")
def programs(environment: Path, public_folder: Path) -> dict[str, str]:
    """Variables by which the programs of the wheel are found, and of other packages only those that the image has."""
    site = Path(sys.prefix) / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    names = {package.name for package in image_contents(ROOT / "requirements.worker.lock").packages}
    link_packages(names, site, public_folder / "packages")
    return {"PATH": f"{environment / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(public_folder / "packages")}


@pytest.fixture(scope="module")
def image(public_folder: Path, given: Path, dockerfile: Path, programs: dict[str, str]) -> Path:
    """The root of an image after the step that bakes, which finds the folders of the user and may not download."""
    root = public_folder / "image"
    mounted, variables, command = baking_of(dockerfile)
    places = {target: str(given / stage) for target, stage in mounted.items()} | {"/opt/rawless": f"{root}/opt/rawless"}
    words = [places.get(word, word) for word in command if word != "${ENCODERS}"]
    own = {name: places.get(value, value) for name, value in variables.items()} | {"RAWLESS_HUB": "0"}
    own |= {name: str(root / "hub") for name in ("HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME", "HOME")}
    done = subprocess.run([*words, *ENCODERS.split()], env=own | programs, cwd=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shutil.copytree(ROOT / "terraform" / "template", root / "template")
    return root


@pytest.fixture(scope="module")
def variables(image: Path, dockerfile: Path, programs: dict[str, str], public_folder: Path) -> dict[str, str]:
    """The variables of the target `service`, with the folders of the image where they are here."""
    home = public_folder / "home"
    home.mkdir()
    home.chmod(0o777)
    found = variables_of(dockerfile, "service") | programs
    found |= {"HOME": str(home), "RAWLESS_HOME": str(home / "rawless"), "TMPDIR": str(home)}
    return {name: value.replace("/opt/rawless", f"{image}/opt/rawless") for name, value in found.items()}


def test_the_image_has_the_encoders_that_were_named_and_nothing_else(image: Path) -> None:
    folder = image / "opt" / "rawless"
    files = sorted(each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file())

    assert files == [
        "specs/our-texts@1.0.0.yaml",
        "specs/resnet18-seeded@1.0.0.yaml",
        *(f"weights/our/our-texts/{name}" for name in ("config.json", "model.safetensors")),
        *(f"weights/our/our-texts/{name}" for name in ("tokenizer.json", "tokenizer_config.json")),
    ]


def test_packages_that_the_image_lacks_are_not_found(variables: dict[str, str], image: Path) -> None:
    """Otherwise the other tests would not notice an import of one."""
    code = "import importlib.util as u, sys; print([u.find_spec(name) is not None for name in sys.argv[1:]])"
    line = ["python", "-c", code, "rawless", "torch", "google.cloud.storage", "pytest", "duckdb", "bqemulator"]

    done = subprocess.run(line, env=variables, cwd=image, capture_output=True, text=True, check=True, **WITHOUT_ROOT)

    assert done.stdout.strip() == "[True, True, True, False, False, False]"


def test_every_user_may_read_what_is_in_the_image(image: Path) -> None:
    folder = image / "opt" / "rawless"
    needed = {path: 0o005 if path.is_dir() else 0o004 for path in (folder, *folder.rglob("*"))}

    assert [path.name for path, mode in needed.items() if path.stat().st_mode & mode != mode] == []


@pytest.mark.parametrize("what", CHECKS)
def test_the_image_can_start(what: str, image: Path, variables: dict[str, str]) -> None:
    check: Check = CHECKS[what]
    words = [word.replace("/template/", f"{image}/template/") for word in check.words]

    done = subprocess.run(
        words, env=variables, cwd=image, capture_output=True, text=True, timeout=SECONDS, **WITHOUT_ROOT
    )

    assert done.returncode == check.code, done.stderr
    assert check.says in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_service_starts_with_an_encoder_of_the_user_and_answers(given: Path, variables: dict[str, str]) -> None:
    words = ["rawless", "serve", str(given / "config" / "service.yaml"), "--role", "encoder", "--port", "0"]

    with serving(words, variables, **WITHOUT_ROOT) as url:
        answers = [httpx.get(f"{url}{each}", trust_env=False).status_code for each in ("/health", "/ready")]
        refused = httpx.get(f"{url}/v1/encoders", trust_env=False).status_code

    assert answers == [200, 200]
    assert refused == 401

"""The wheel in an environment of its own, and folders of specs and weights such as a user has."""

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from encoders.importing.spec_file import write_sealed
from encoders.seal import seal
from tests import tiny_text_encoder
from tests.deployment.programs import SERVICE_FILE, STREAM_FILE, output

ROOT = Path(__file__).parents[2]
SOURCES = ("rawless", "encoders", "pipelines", "sql", "pyproject.toml", "README.md", "LICENSE")
UV = Path(sys.executable).parent / "uv"


@pytest.fixture(scope="session")
def public_folder() -> Iterator[Path]:
    """A folder that every user of the machine may read, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="rawless-image-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def environment(public_folder: Path) -> Path:
    """An environment into which the wheel is installed, without what it depends on."""
    folder = public_folder / "wheel"
    source = folder / "source"
    source.mkdir(parents=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        else:
            shutil.copy(ROOT / name, source)
    build = ("build", "--quiet", "--offline", "--wheel", "--no-build-isolation", "--python", sys.executable)
    output(UV, *build, "--out-dir", folder, source, folder=folder)
    (wheel,) = folder.glob("*.whl")
    output(UV, "venv", "--quiet", "--offline", "--python", sys.executable, folder / "environment", folder=folder)
    python = folder / "environment" / "bin" / "python"
    output(UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, wheel, folder=folder)
    return folder / "environment"


def install_wheel(environment: Path, folder: Path, extras: str, *others: str) -> None:
    """Install the wheel with some extras, and other packages, in the locked versions into a new environment."""
    (wheel,) = environment.parent.glob("*.whl")
    output(UV, "venv", "--quiet", "--offline", "--python", sys.executable, folder, folder=folder.parent)
    install = (UV, "pip", "install", "--quiet", "--python", folder / "bin" / "python")
    locked = ("--constraint", ROOT / "requirements.lock")
    output(*install, *locked, f"rawless[{extras}] @ file://{wheel}", *others, folder=folder.parent)


@pytest.fixture(scope="session")
def installed(environment: Path) -> Path:
    """Where the packages are in that environment."""
    (site,) = environment.glob("lib/python*/site-packages")
    return site


@pytest.fixture(scope="session")
def given(public_folder: Path) -> Path:
    """Folders `specs` and `weights` with two encoders of the user's, and `config` with the files of a service."""
    folder = public_folder / "given"
    for name in ("specs", "config"):
        (folder / name).mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAWLESS_WEIGHTS", str(folder / "weights"))
        for name in ("our-texts", "not-named"):
            model = tiny_text_encoder.write_model(folder / "weights" / "our" / name)
            spec = seal(tiny_text_encoder.make_spec(model, name=name, source=f"hf:our/{name}"))
            write_sealed(folder / "specs" / f"{spec.ref}.yaml", spec, force=False)
    (folder / "config" / "stream.yaml").write_text(STREAM_FILE)
    (folder / "config" / "service.yaml").write_text(SERVICE_FILE % hashlib.sha256(b"a token").hexdigest())
    return folder

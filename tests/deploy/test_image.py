"""What the lock file of the image says that it contains."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from rawless.deploy.image import MACHINE, image_contents
from rawless.errors import UserError

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.worker.lock"
HASH = f"    --hash=sha256:{'0' * 64}\n"


def _lock(folder: Path, *pins: str) -> Path:
    file = folder / "a.lock"
    file.write_text("# a comment\n" + "".join(f"{pin} \\\n{HASH}" for pin in pins))
    return file


def test_the_image_contains_what_its_lock_file_pins() -> None:
    contents = image_contents(LOCK)

    assert contents.version("torch") == version("torch")
    assert contents.version("apache_beam") == version("apache-beam")
    assert contents.version("pytest") is None
    assert len(contents.packages) > 150
    assert [each.name for each in contents.packages] == sorted({each.name for each in contents.packages})


def test_the_cuda_runtime_is_the_one_of_torch() -> None:
    import torch

    if torch.version.cuda is None:
        pytest.skip("the torch that is installed here has no CUDA")
    assert image_contents(LOCK).cuda == torch.version.cuda


def test_the_size_is_that_of_the_installed_files(tmp_path: Path) -> None:
    contents = image_contents(
        _lock(tmp_path, f"safetensors=={version('safetensors')}", "typer==0.0.1", "not-here==1.0")
    )

    import safetensors

    on_disk = sum(
        each.stat().st_size for each in Path(safetensors.__file__).parent.rglob("*") if each.suffix in (".py", ".so")
    )
    assert on_disk <= contents.size < 2 * on_disk
    assert contents.of_unknown_size == ("not-here", "typer")


def test_packages_of_other_machines_are_left_out(tmp_path: Path) -> None:
    pins = ("a==1 ; sys_platform == 'win32'", "b==2 ; python_full_version < '3.12'", "c==3 ; python_version >= '3.12'")
    contents = image_contents(_lock(tmp_path, *pins, "d==4"))

    assert [(each.name, each.version) for each in contents.packages] == [("b", "2"), ("d", "4")]


def test_a_torch_without_cuda_has_no_runtime(tmp_path: Path) -> None:
    assert image_contents(_lock(tmp_path, "torch==2.13.0")).cuda is None
    assert image_contents(_lock(tmp_path, "nvidia-cuda-runtime-cu12==12.6.77", "torch==2.7.0")).cuda == "12.6"


def test_the_machine_is_that_of_the_dockerfile() -> None:
    (python,) = re.findall(r"^FROM python:([\d.]+)-slim-", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert MACHINE["python_full_version"] == python


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "pins no package"),
        ("torch>=2\n", "Line 1 of the lock file .* is not NAME==VERSION with a hash"),
        (f"a==1 \\\n{HASH}torch==2.13.0\n", "Line 3 of the lock file"),
        (f"a==1 ; nonsense \\\n{HASH}", "has a condition that is not valid"),
    ],
)
def test_a_file_that_is_no_lock_is_refused_in_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "a.lock").write_text(text)

    with pytest.raises(UserError, match=sentence) as caught:
        image_contents(tmp_path / "a.lock")
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing.lock cannot be read \(FileNotFoundError\)"):
        image_contents(tmp_path / "missing.lock")

"""The memory of a process that may contain content or the key is in no core dump, and no debugger can read it."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

_HOLDING_CONTENT = """
import os, signal, sys
from rawless.privacy import Raw
held = Raw("my card ends in 4711")
signal.signal(int(sys.argv[1]), signal.SIG_DFL)  # a parent may ignore it
os.kill(os.getpid(), int(sys.argv[1]))
"""
_READ_BY_ANOTHER_PROCESS = """
import ctypes, os, subprocess
from rawless.privacy.memory import forbid_dumps

def is_readable(name):
    reader = subprocess.run(["head", "-c", "0", f"/proc/{os.getpid()}/{name}"], stderr=subprocess.DEVNULL)
    return reader.returncode == 0

if os.getuid() == 0:  # which may read everything
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # like any other program
print(is_readable("environ"))
forbid_dumps()
print(is_readable("environ"), is_readable("mem"))
"""
_STATE = (
    "import ctypes, resource, {module}; print(ctypes.CDLL(None).prctl(3), resource.getrlimit(resource.RLIMIT_CORE))"
)


def _unlimited() -> None:
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGQUIT], ids=lambda number: number.name)
def test_a_killed_process_that_holds_content_leaves_no_core(number: signal.Signals, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDING_CONTENT, str(int(number))], cwd=tmp_path, preexec_fn=_unlimited
    )
    _, status = os.waitpid(process.pid, 0)
    process.returncode = status

    assert os.WTERMSIG(status) == number
    assert not os.WCOREDUMP(status)
    assert [*tmp_path.iterdir()] == []


def test_another_process_of_the_user_reads_neither_memory_nor_environment() -> None:
    done = subprocess.run([sys.executable, "-c", _READ_BY_ANOTHER_PROCESS], capture_output=True, text=True, check=True)
    before, *after = done.stdout.split()

    assert after == ["False", "False"]
    if before == "False":
        pytest.skip("this machine hides every process from its own user")


@pytest.mark.parametrize("module", ["rawless.cli.main", "rawless.privacy.pseudonyms"])
def test_a_program_forbids_dumps_before_it_does_anything(module: str) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", _STATE.format(module=module)], capture_output=True, text=True, check=True
    )

    assert shown.stdout.strip() == "0 (0, 0)"

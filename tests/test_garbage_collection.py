"""Garbage collection of processes that run for long: what they have loaded is not looked at again."""

import subprocess
import sys

_PROGRAM = """
import gc
from rawless.garbage_collection import exempt_loaded
loaded = [[] for _ in range(1000)]
exempt_loaded()
frozen = gc.get_freeze_count()
later = [[] for _ in range(1000)]
exempt_loaded()
print(frozen > 1000, gc.get_freeze_count() == frozen, any(each is later[0] for each in gc.get_objects()))
"""


def test_what_exists_is_exempt_once_and_what_follows_is_collected() -> None:
    command = [sys.executable, "-c", _PROGRAM]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True True True\n"

"""Processes that can do their work no more, and that only a new process can replace.

Such a process has lost its CUDA context, has an encoder that fails for its own probe, or a thread that hangs in code
that nothing can interrupt. It would fail everything that it is given for as long as it lives.
"""

import os
from contextlib import suppress

from rawless.errors import Unavailable

_STATUS = 1
_STDERR = 2
_ends = _is_broken = False


def end_when_broken() -> None:
    """Let `give_up` end this process, since something starts another: Beam's boot on a worker, Cloud Run, systemd."""
    global _ends
    _ends = True


def is_broken() -> bool:
    """Return whether this process has given up. It then has threads that may never end."""
    return _is_broken


def give_up(sentence: str) -> Unavailable:
    """End this process with a sentence on stderr; see `end_when_broken`. Elsewhere return what fails its work.

    A job on a user's own machine then ends with that sentence, and its command with it.
    """
    global _is_broken
    _is_broken = True
    if _ends:
        with suppress(OSError):  # whatever reads stderr may have ended
            os.write(_STDERR, f"Error: {sentence}\n".encode())
        os._exit(_STATUS)  # nothing else ends threads that hang
    return Unavailable(sentence)

"""Keep the memory of this process, which may contain content or the pseudonym key, from core dumps and debuggers."""

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4


def forbid_dumps() -> None:
    """Forbid core dumps of this process and of those that it starts.

    On Linux, its memory and environment also become unreadable for other processes of its user. That state is lost
    when another program is executed, so each program calls this itself. Raises OSError if the kernel refuses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # the limit does not concern a handler that core_pattern pipes dumps to; this does
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_DUMPABLE, *(ctypes.c_ulong(0),) * 4) != 0:
            raise OSError(ctypes.get_errno(), "the kernel refuses to forbid memory dumps of this process")

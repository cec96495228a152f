"""The boundary around code that touches raw content: results and closed reasons come out, nothing else."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from rawless.errors import Unavailable
from rawless.privacy.logs import withheld
from rawless.privacy.reasons import Reason, Rejected

P = ParamSpec("P")
T = TypeVar("T")


def guarded(step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Reason:
    """Run `step` inside the boundary and return its result, or the reason for which it failed.

    An exception of a library holds content in its text, its arguments, its context and the frames of its
    traceback. So none crosses: a `Rejected` comes out as its reason, any other exception as `internal`.
    Memory and `Unavailable` are not the event's fault: they are raised as a fresh `Unavailable`, outside of
    the handler, so that they carry no context. Log records made inside are withheld (`privacy.logs`).
    """
    with withheld():
        try:
            return step(*args, **kwargs)
        except Rejected as rejected:
            return rejected.reason
        except Unavailable as unavailable:
            sentence = str(unavailable)
        except MemoryError:
            sentence = "This process ran out of memory; give it more, or lower the stream's limits.max_bytes."
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException:  # noqa: BLE001 - nothing of it may leave; a panic of a Rust library is no Exception
            return Reason.INTERNAL
        finally:
            del step, args, kwargs  # this frame is part of the traceback of what is raised below
    raise Unavailable(sentence)

"""The boundary around code that handles raw content: only results and closed reasons leave it."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from rawless.errors import Unavailable
from rawless.privacy.logs import withheld
from rawless.privacy.reasons import Reason, Rejected

_OUT_OF_MEMORY = "This process ran out of memory; give it more, or lower the stream's limits.max_bytes."
P = ParamSpec("P")
T = TypeVar("T")


def guarded(step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Reason:
    """Run `step` inside the boundary and return its result, or the reason why it failed.

    An exception of a library can contain content in its text, its arguments, its context and the frames of its
    traceback, so none leaves: a `Rejected` is returned as its reason, any other exception as `Reason.INTERNAL`.
    `Unavailable` and `MemoryError` do not concern the event: they are raised as a new `Unavailable`, outside of the
    handler, so that it has no context. So is `SystemExit`, without a text, which the interpreter would print. Log
    records made inside are withheld (see `rawless.privacy.logs`).
    """
    ending: Unavailable | SystemExit
    with withheld():
        try:
            return step(*args, **kwargs)
        except Rejected as rejected:
            return rejected.reason
        except Unavailable as unavailable:
            ending = Unavailable(str(unavailable))
        except MemoryError:
            ending = Unavailable(_OUT_OF_MEMORY)
        except SystemExit as leaving:
            ending = SystemExit(leaving.code if isinstance(leaving.code, int | None) else 1)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException:  # noqa: BLE001 - nothing of it may leave; a panic of a Rust library is not an Exception
            return Reason.INTERNAL
        finally:
            del step, args, kwargs  # this frame is in the traceback of the exception that is raised below
    raise ending

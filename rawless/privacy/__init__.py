"""What keeps raw content inside: the wrapper, the boundary, closed reasons, pseudonyms.

Every failure of the project is one of these:

    RawlessError
    ├── UserError     the caller's mistake: one sentence with field, value, rule and fix (exit code 2)
    ├── Rejected      a permanent fault of one event: a closed `Reason`, never a text
    └── Unavailable   a transient fault that outlived its retries; the source delivers again (exit code 1)
"""

from rawless.privacy.boundary import guarded
from rawless.privacy.raw import Raw
from rawless.privacy.reasons import Reason, Rejected, Stage

__all__ = [
    "Raw",
    "Reason",
    "Rejected",
    "Stage",
    "guarded",
]

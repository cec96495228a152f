"""What keeps raw content inside: the wrapper, the boundary, closed reasons, pseudonyms.

Every failure of the project is one of these:

    RawlessError
    ├── UserError     the caller's mistake: one sentence with field, value, rule and fix (exit code 2)
    ├── Rejected      a permanent fault of one event: a closed `Reason`, never a text
    └── Unavailable   a transient fault that outlived its retries; the source delivers again (exit code 1)
"""

from privacy.boundary import guarded
from privacy.errors import RawlessError, Rejected, Unavailable, UserError
from privacy.raw import Raw
from privacy.reasons import Reason, Stage

__all__ = [
    "Raw",
    "RawlessError",
    "Reason",
    "Rejected",
    "Stage",
    "Unavailable",
    "UserError",
    "guarded",
]

"""The exceptions that may leave a room. The tree is drawn in `privacy/__init__.py`."""


class RawlessError(Exception):
    """Base of every error that Rawless raises on purpose."""


class UserError(RawlessError):
    """A mistake of the caller, told in one sentence that names field, value, rule and fix."""


class Unavailable(RawlessError):
    """Something outside stayed away longer than the retries; nothing was dropped.

    The sentence is written by us. It never quotes another exception, which may hold content.
    """

"""Every exception that Rawless raises on purpose.

RawlessError
├── UserError              the caller's mistake: one sentence with field, value, rule and fix (exit code 2)
│   └── extras.MissingLibrary  a library of an extra is not installed (exit code 2)
├── Unavailable            a transient failure that outlived its retries; nothing was dropped (exit code 1)
├── deploy.JobNotReady     a job failed, or was not ready within the limit of a command (exit code 1)
├── privacy.Rejected       a permanent failure of one event: a closed `Reason`, never a text
├── client.ServiceError     a request that a service did not answer as asked: a status, a closed code and its sentence
└── serving.RequestError   a request that gets no answer: a status and a closed code, never a text
"""


class RawlessError(Exception):
    """Base class of every error that Rawless raises on purpose."""

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows of the error: its sentence, as the command line prints it, and no frames."""
        return [f"{type(self).__name__}: {self}"]


class UserError(RawlessError):
    """A mistake of the caller, described in one sentence that names field, value, rule and fix."""


class Unavailable(RawlessError):
    """A dependency was unavailable for longer than the retries; nothing was dropped.

    The sentence is written by Rawless. It never quotes another exception, which may hold content.
    """

"""The result of one check."""

from dataclasses import dataclass

ME = "user:$(gcloud config get account)"
"""The person who runs a command, as a member of an IAM policy."""


@dataclass(frozen=True)
class Finding:
    """The result of one check: `detail` describes what exists or what is missing, `command` fixes it."""

    check: str
    ok: bool
    detail: str
    command: str = ""

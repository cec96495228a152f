"""What looking at one thing found."""

from dataclasses import dataclass

ME = "user:$(gcloud config get account)"
"""Whoever runs the commands, as a member of a policy."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `detail` says what was found, or what is amiss; `command` then mends it."""

    check: str
    ok: bool
    detail: str
    command: str = ""

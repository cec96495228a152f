"""Labels of metrics. Their values are closed lists and names of encoders and tables: never of an event."""

import re
from collections.abc import Iterable

from rawless.privacy import Reason, Stage

OTHER = "other"
"""What any value but those of a label is recorded as: whatever it is, it is not repeated."""


class Label:
    """A label, and the pattern of its values."""

    def __init__(self, name: str, values: Iterable[str] | re.Pattern[str], meaning: str) -> None:
        self.name, self.meaning = name, meaning
        self._pattern = values if isinstance(values, re.Pattern) else re.compile("|".join(map(re.escape, values)))

    def checked(self, value: str) -> str:
        """Return a value of this label, `OTHER` for anything else."""
        return value if not value or self._pattern.fullmatch(value) else OTHER


ENCODER = Label(
    "encoder", re.compile(r"[a-z0-9][a-z0-9-]{0,62}@\d{1,6}\.\d{1,6}\.\d{1,6}"), "the reference of an encoder"
)
TABLE = Label("table", re.compile(r"[a-z_]{1,64}_v\d{1,3}"), "a table of the warehouse")
STAGE = Label("stage", list(Stage), "the step that rejected the event")
REASON = Label("reason", list(Reason), "a code of docs/design.md#reasons")
QUEUE = Label(
    "queue",
    ("fetch", "prepare", "batch", "append"),
    "what is waited for: `fetch` an object, `prepare` a thread or process that decodes, `batch` a batch, `append` a "
    "request to the warehouse",
)
ABSTENTION = Label("abstention", ("out_of_domain", "low_confidence"), "why a prediction has no class")
CAUSE = Label(
    "cause",
    ("crashed", "killed", "timed_out"),
    "why a child process ended: `crashed` by itself, `killed` from outside, as the kernel does when memory is "
    "exhausted, `timed_out` when it took too long",
)
GPU = Label("gpu", re.compile(r"\d{1,3}"), "the number of a GPU")

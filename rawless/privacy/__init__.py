"""The guards around raw content: its wrapper, the boundary, reasons, pseudonyms, the log guard and the memory guard."""

from rawless.privacy.boundary import guarded
from rawless.privacy.memory import forbid_dumps as _forbid_dumps
from rawless.privacy.raw import Raw
from rawless.privacy.reasons import Reason, Rejected, Stage

_forbid_dumps()  # on import, so that it holds in every process that can contain a `Raw` or the key

__all__ = ["Raw", "Reason", "Rejected", "Stage", "guarded"]

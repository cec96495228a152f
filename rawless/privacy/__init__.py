"""The guards around raw content: its wrapper, the boundary, the closed reasons, pseudonyms and the log guard."""

from rawless.privacy.boundary import guarded
from rawless.privacy.raw import Raw
from rawless.privacy.reasons import Reason, Rejected, Stage

__all__ = ["Raw", "Reason", "Rejected", "Stage", "guarded"]

"""What `rawless predict` is asked to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rawless.errors import UserError
from rawless.local import home
from rawless.prediction.chosen_head import ChosenHead, Vectors, choose_head
from rawless.serving.rules import Rules


@dataclass(frozen=True)
class PredictRequest:
    """What a job is asked to do, whatever it reads."""

    head: str
    minimum_confidence: float | None = None
    heads: Path | None = None
    """The folder of heads; by default that of the home folder."""
    warehouse: Path | None = None
    beam: Sequence[str] = ()

    @property
    def rules(self) -> Rules:
        """The rules by which the job abstains. Raises UserError."""
        if self.minimum_confidence is not None and not 0 < self.minimum_confidence <= 1:
            raise UserError(f"--minimum-confidence is {self.minimum_confidence:g}, but must be above 0 and at most 1.")
        return Rules(minimum_confidence=self.minimum_confidence)

    def choose(self, offered: Sequence[Vectors], *, has_features: bool = False) -> ChosenHead:
        """Return the head, for vectors of which it takes some. Raises UserError; see `choose_head`."""
        return choose_head(self.heads or home.heads(), self.head, offered, has_features=has_features)

"""What is known of a trained head: how good it is on test, beside baselines, where it fails, whom not to trust.

Rows are told as event ids and nothing else.
"""

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from rawless.heads.metrics import Bin, Measure


class Slice(NamedTuple):
    """Rows of test with one month or one value of an attribute."""

    of: str
    value: str
    rows: int
    measure: Measure


class Suspect(NamedTuple):
    """A row whose neighbours in train mostly have one other label."""

    event_id: str
    label: str
    neighbours_say: str
    share: float


class Mistake(NamedTuple):
    """A row of test that the head got wrong; for a number, by how much."""

    event_id: str
    label: str
    predicted: str
    confidence: float


class CurvePoint(NamedTuple):
    """A head trained on some of the rows of train, and its main measure on validation."""

    rows: int
    value: float


class Evaluation(BaseModel):
    """Of a head on the test split of its snapshot, judged once."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    rows: dict[str, int]
    """By split."""
    measures: tuple[Measure, ...]
    baselines: dict[str, tuple[Measure, ...]]
    slices: tuple[Slice, ...] = ()
    classes: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    """Rows by label, columns by what was predicted."""
    calibration: tuple[Bin, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    """The most confident first."""
    learning_curve: tuple[CurvePoint, ...] = ()
    train_losses: tuple[float, ...] = ()
    validation_losses: tuple[float, ...] = ()
    best_epoch: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def main(self) -> Measure:
        """The measure that heads are compared by: accuracy, r2 or recall@10."""
        return next(each for each in self.measures if each.name in MAIN)


MAIN = ("accuracy", "r2", "recall@10")

"""The JSON bodies of responses: those to callers, of `rawless.answers`, and those between services."""

from typing import Literal

from pydantic import Field, model_validator

from rawless.answers import (
    Arm,
    Match,
    Model,
    Offer,
    Offers,
    Prediction,
    Problem,
    ResponseModel,
    Result,
    Results,
    Scores,
    Tower,
)
from rawless.heads.artefact import HeadManifest

__all__ = [
    "Answer",
    "Arm",
    "Encoders",
    "Health",
    "Loaded",
    "Match",
    "Model",
    "Offer",
    "Offers",
    "Prediction",
    "Problem",
    "Ranking",
    "Result",
    "Results",
    "Scores",
    "Tower",
]


class Answer(ResponseModel):
    """The output of a head for one vector: probabilities by class, or a number."""

    model: Model
    probabilities: dict[str, float] | None = Field(default=None, min_length=1)
    value: float | None = None
    in_domain: bool | None = Field(
        default=None, description="whether the vector is like the training rows; null for a head without a domain"
    )

    @model_validator(mode="after")
    def _has_exactly_one_output(self) -> "Answer":
        if (self.probabilities is None) == (self.value is None):
            raise ValueError("an answer has either probabilities or a value")
        return self

    @property
    def prediction(self) -> str | float | None:
        """The most probable class, or the number."""
        if self.probabilities is None:
            return self.value
        return max(self.probabilities, key=self.probabilities.__getitem__)


class Ranking(ResponseModel):
    """The events of an index that match a query best, in descending order."""

    model: Model | None = None
    tower: Tower | None = None
    snapshot_id: str
    matches: list[Match]

    @model_validator(mode="after")
    def _has_exactly_one_source(self) -> "Ranking":
        if (self.model is None) == (self.tower is None):
            raise ValueError("a ranking is of a head or of an encoder of queries")
        return self

    @property
    def ref(self) -> str:
        """Name and version of what answered."""
        return next(each.ref for each in (self.model, self.tower) if each)


class Encoders(ResponseModel):
    """The encoders that an encoder service has loaded."""

    fingerprints: list[str]


class Loaded(ResponseModel):
    """What a classifier has loaded, for each encoder by its fingerprint."""

    heads: dict[str, dict[str, HeadManifest]] = Field(description="the versions that answer, by the name of the head")
    indexes: dict[str, dict[str, str]] = Field(description="the snapshots, by the reference of the index")


class Health(ResponseModel):
    """The health of a service."""

    status: Literal["ok"] = "ok"

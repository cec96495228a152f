"""The JSON bodies of a service's responses to its callers, which services write and `rawless.client` reads.

It imports nothing of the parts that answer, so that a client needs none of them.
"""

import operator
from enum import StrEnum
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ResponseModel(BaseModel):
    """Base class of every response: immutable, without unknown fields, with finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Abstention(StrEnum):
    """The reasons for which there is no prediction."""

    KILL_SWITCH = "kill_switch"
    DENIED = "denied"
    NOT_ALLOWED = "not_allowed"
    OUT_OF_DOMAIN = "out_of_domain"
    LOW_CONFIDENCE = "low_confidence"


class _HeadVersion(Protocol):
    """What the manifest of a head says about its version."""

    @property
    def head(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def encoder(self) -> str: ...
    @property
    def encoder_version(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def encoder_space(self) -> str: ...


class _SealedEncoder(Protocol):
    """What a sealed spec says about its encoder."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...


class Model(ResponseModel):
    """A version of a head, and the encoder whose vectors it was trained on."""

    head: str
    version: int
    encoder: str
    encoder_version: str
    encoder_fingerprint: str
    encoder_space: str = Field(
        default="",
        exclude_if=operator.not_,
        description="the space of the vectors that it takes, if several encoders share it",
    )
    adapted_by: str = Field(
        default="",
        exclude_if=operator.not_,
        description="the encoder with an adapter whose vector it answered for, in the place of one of its own encoder",
    )

    @classmethod
    def of(cls, manifest: _HeadVersion) -> "Model":
        """Return the model that a head's manifest describes."""
        return cls(
            head=manifest.head,
            version=manifest.version,
            encoder=manifest.encoder,
            encoder_version=manifest.encoder_version,
            encoder_fingerprint=manifest.fingerprint,
            encoder_space=manifest.encoder_space,
        )

    @property
    def ref(self) -> str:
        """Name and version of the head."""
        return f"{self.head}@{self.version}"

    @property
    def counted_as(self) -> str:
        """What metrics count its answers as: those for adapted vectors by themselves."""
        return f"{self.ref} for {self.adapted_by}" if self.adapted_by else self.ref


class Tower(ResponseModel):
    """An encoder of queries, whose vectors are compared with those of an index."""

    encoder: str
    encoder_version: str
    encoder_fingerprint: str

    @classmethod
    def of(cls, spec: _SealedEncoder) -> "Tower":
        """Return the encoder that a sealed spec describes."""
        return cls(encoder=spec.name, encoder_version=spec.version, encoder_fingerprint=spec.fingerprint)

    @property
    def ref(self) -> str:
        """Name and version of the encoder."""
        return f"{self.encoder}@{self.encoder_version}"


class Prediction(ResponseModel):
    """The prediction for one item."""

    head: str = Field(description="the name of the served head")
    event_id: str = Field(description="the caller's event id, or one generated for this item")
    model: Model | None = Field(description="the head that answered; null if none was called")
    prediction: str | float | None = Field(
        description="the most probable class, or the number; for an abstention the fallback, or null"
    )
    probabilities: dict[str, float] | None = Field(description="by class; null for a number and for an abstention")
    abstention: Abstention | None = Field(description="why there is no prediction")
    truncated: bool = Field(description="whether the text was longer than the encoder's limit and was cut off")
    also: dict[str, "Prediction"] = Field(
        default={}, description="predictions of other served heads from the same encoding, by name"
    )


FeatureName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


def _is_none(value: object) -> bool:
    return value is None


class Result(ResponseModel):
    """The answer for one of several items: its prediction, or the reason why there is none."""

    index: int = Field(ge=0, description="the position of the item in the request")
    prediction: Prediction | None = Field(default=None, exclude_if=_is_none)
    reason: str | None = Field(default=None, exclude_if=_is_none, description="a closed code for programs")
    detail: str | None = Field(default=None, exclude_if=_is_none, description="one sentence for people")
    feature: FeatureName | None = Field(
        default=None, exclude_if=_is_none, description="the feature of the head that is missing or invalid"
    )

    @model_validator(mode="after")
    def _has_either(self) -> "Result":
        if (self.prediction is None) == (self.reason is None):
            raise ValueError("a result has either a prediction or a reason")
        return self


class Results(ResponseModel):
    """The answers for the items of a request, in their order."""

    results: list[Result]


class Match(ResponseModel):
    """An event of the index that matches the query."""

    event_id: str
    score: float = Field(description="the head's score; the cosine, if the head maps the query or none was called")
    cosine: float = Field(description="the cosine similarity of query and event")


class Scores(ResponseModel):
    """The best matches for one query."""

    head: str = Field(description="the name of the served head")
    event_id: str = Field(description="the caller's event id, or one generated for this request")
    model: Model | None = Field(description="the head that answered; null if none was called")
    tower: Tower | None = Field(default=None, description="the encoder of queries that answered without a head")
    snapshot_id: str | None = Field(description="the snapshot that is the index")
    matches: list[Match] = Field(description="in descending order; empty for an abstention")
    abstention: Abstention | None = Field(description="why nothing was scored")
    truncated: bool = Field(description="whether the query was longer than the encoder's limit and was cut off")


class Feature(ResponseModel):
    """A feature of a head: a class, or a number in a range, which is rounded to the nearest step."""

    model_config = ConfigDict(from_attributes=True)

    name: FeatureName
    classes: tuple[str, ...] = ()
    type: Literal["class", "number"] = "class"
    range: tuple[float, float] | None = None
    step: float | None = None


class Arm(ResponseModel):
    """A deployed head or an encoder of queries that answers for a served head, with its weight in the experiment."""

    arm: str = Field(description="its name in the file, by which a request can ask for it where there is an index")
    model: Model | None = None
    tower: Tower | None = None
    weight: float
    classes: list[str]
    features: list[Feature] = Field(description="the features that requests must have, which may be null")


class Offer(ResponseModel):
    """A served head, and how to call it."""

    head: str
    path: str
    stream: str
    encoder: str = Field(description="the encoder that answers now")
    modality: Literal["text", "image", "parts"]
    content_types: list[str] = Field(description="of a request with one item")
    max_items: int = Field(default=1, description="how many items a request may have")
    max_request_bytes: int | None = Field(default=None, description="the size limit of a request with several items")
    arms: list[Arm]


class Offers(ResponseModel):
    """All served heads."""

    heads: list[Offer]


class Problem(ResponseModel):
    """An error (RFC 9457). It contains nothing of the request."""

    type: Literal["about:blank"] = "about:blank"
    title: str = Field(description="the phrase of the HTTP status")
    status: int
    detail: str = Field(description="one sentence for people")
    reason: str = Field(description="a closed code for programs")
    feature: FeatureName | None = Field(default=None, description="the feature of the head that is missing or invalid")

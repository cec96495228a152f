"""The JSON bodies of responses, both to callers and between services."""

import operator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from encoders.spec import EncoderSpec
from rawless.content import Modality
from rawless.datasets.spec import Name
from rawless.heads.artefact import HeadManifest
from rawless.heads.features import HeadFeature
from rawless.serving.rules import Abstention


class _ResponseModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Model(_ResponseModel):
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
    def of(cls, manifest: HeadManifest) -> "Model":
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


class Tower(_ResponseModel):
    """An encoder of queries, whose vectors are compared with those of an index."""

    encoder: str
    encoder_version: str
    encoder_fingerprint: str

    @classmethod
    def of(cls, spec: EncoderSpec) -> "Tower":
        """Return the encoder that a sealed spec describes."""
        return cls(encoder=spec.name, encoder_version=spec.version, encoder_fingerprint=spec.fingerprint)

    @property
    def ref(self) -> str:
        """Name and version of the encoder."""
        return f"{self.encoder}@{self.encoder_version}"


class Answer(_ResponseModel):
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


class Prediction(_ResponseModel):
    """The prediction for one item."""

    head: str = Field(description="the name of the served head")
    event_id: str = Field(description="the caller's event id, or one generated for this request")
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


class Match(_ResponseModel):
    """An event of the index that matches the query."""

    event_id: str
    score: float = Field(description="the head's score; the cosine, if the head maps the query or none was called")
    cosine: float = Field(description="the cosine similarity of query and event")


class Ranking(_ResponseModel):
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


class Scores(_ResponseModel):
    """The best matches for one query."""

    head: str = Field(description="the name of the served head")
    event_id: str = Field(description="the caller's event id, or one generated for this request")
    model: Model | None = Field(description="the head that answered; null if none was called")
    tower: Tower | None = Field(default=None, description="the encoder of queries that answered without a head")
    snapshot_id: str | None = Field(description="the snapshot that is the index")
    matches: list[Match] = Field(description="in descending order; empty for an abstention")
    abstention: Abstention | None = Field(description="why nothing was scored")
    truncated: bool = Field(description="whether the query was longer than the encoder's limit and was cut off")


class Encoders(_ResponseModel):
    """The encoders that an encoder service has loaded."""

    fingerprints: list[str]


class Loaded(_ResponseModel):
    """What a classifier has loaded, for each encoder by its fingerprint."""

    heads: dict[str, dict[str, HeadManifest]] = Field(description="the versions that answer, by the name of the head")
    indexes: dict[str, dict[str, str]] = Field(description="the snapshots, by the reference of the index")


class Arm(_ResponseModel):
    """A deployed head or an encoder of queries that answers for a served head, with its weight in the experiment."""

    arm: str = Field(description="its name in the file, by which a request can ask for it where there is an index")
    model: Model | None = None
    tower: Tower | None = None
    weight: float
    classes: list[str]
    features: list[HeadFeature] = Field(description="the features that requests must have, which may be null")


class Offer(_ResponseModel):
    """A served head, and how to call it."""

    head: str
    path: str
    stream: str
    encoder: str = Field(description="the encoder that answers now")
    modality: Modality
    content_types: list[str]
    arms: list[Arm]


class Offers(_ResponseModel):
    """All served heads."""

    heads: list[Offer]


class Problem(_ResponseModel):
    """An error (RFC 9457). It contains nothing of the request."""

    type: Literal["about:blank"] = "about:blank"
    title: str = Field(description="the phrase of the HTTP status")
    status: int
    detail: str = Field(description="one sentence for people")
    reason: str = Field(description="a closed code for programs")
    feature: Name | None = Field(default=None, description="the feature of the head that is missing or invalid")


class Health(_ResponseModel):
    """The health of a service."""

    status: Literal["ok"] = "ok"

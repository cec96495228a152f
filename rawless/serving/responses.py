"""What services answer, as callers see it and as services tell one another."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rawless.content import Modality
from rawless.heads.artefact import HeadManifest
from rawless.serving.rules import Abstention


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Model(_Answer):
    """What answered: a version of a head, and the encoder whose vectors it takes."""

    head: str
    version: int
    encoder: str
    encoder_version: str
    encoder_fingerprint: str

    @classmethod
    def of(cls, manifest: HeadManifest) -> "Model":
        """Of a head that is loaded."""
        return cls(
            head=manifest.head,
            version=manifest.version,
            encoder=manifest.encoder,
            encoder_version=manifest.encoder_version,
            encoder_fingerprint=manifest.fingerprint,
        )


class Answer(_Answer):
    """What a head said of one vector: probabilities by class, or a number."""

    model: Model
    probabilities: dict[str, float] | None = Field(default=None, min_length=1)
    value: float | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Answer":
        if (self.probabilities is None) == (self.value is None):
            raise ValueError("an answer is probabilities or a value")
        return self

    @property
    def prediction(self) -> str | float | None:
        """The likeliest class, or the number."""
        if self.probabilities is None:
            return self.value
        return max(self.probabilities, key=self.probabilities.__getitem__)


class Prediction(_Answer):
    """The answer for one item."""

    head: str = Field(description="the name that was asked")
    event_id: str = Field(description="the caller's, or one that was made for this request")
    model: Model | None = Field(description="what answered; null where nothing was asked")
    prediction: str | float | None = Field(description="the likeliest class, or the number; else the fallback, or null")
    probabilities: dict[str, float] | None = Field(description="by class; null for a number and for an abstention")
    abstention: Abstention | None = Field(description="why there is no prediction of a head")
    truncated: bool = Field(description="whether the end of a long text was left out")
    also: dict[str, "Prediction"] = Field(default={}, description="other heads' answers of the same encoding, by name")


class Match(_Answer):
    """An event of the index, and how well it goes with the query."""

    event_id: str
    score: float = Field(description="the head's; the cosine, where the head maps the query")
    cosine: float = Field(description="of the first phase")


class Ranking(_Answer):
    """What a head of pairs said of a query: the best of the index first."""

    model: Model
    snapshot_id: str
    matches: list[Match]


class Scores(_Answer):
    """The answer for one query."""

    head: str = Field(description="the name that was asked")
    event_id: str = Field(description="the caller's, or one that was made for this request")
    model: Model | None = Field(description="what answered; null where nothing was asked")
    snapshot_id: str | None = Field(description="of the index")
    matches: list[Match] = Field(description="the best first; none for an abstention")
    abstention: Abstention | None = Field(description="why nothing was scored")
    truncated: bool = Field(description="whether the end of a long query was left out")


class Arm(_Answer):
    """A head that answers under a name, with its share of the keys."""

    model: Model
    weight: float
    classes: list[str]


class Offer(_Answer):
    """A name that can be asked."""

    head: str
    path: str
    stream: str
    modality: Modality
    content_types: list[str]
    arms: list[Arm]


class Offers(_Answer):
    """All names that can be asked."""

    heads: list[Offer]


class Problem(_Answer):
    """Why there is no answer, as RFC 9457 has it. Nothing of the request is in it."""

    type: Literal["about:blank"] = "about:blank"
    title: str = Field(description="of the status")
    status: int
    detail: str = Field(description="one sentence")
    reason: str = Field(description="a closed code")


class Health(_Answer):
    """How a service is."""

    status: Literal["ok"] = "ok"

"""Business rules of a served head, which decide when it abstains. They never call a model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from rawless.answers import Abstention
from rawless.config import FrozenModel
from rawless.events.stream import Stream

__all__ = ["Abstention", "Rules"]
Attributes = Mapping[str, str]
AttributeValues = dict[str, tuple[str, ...]]
"""Values of attributes, by the attribute's name."""


class Rules(FrozenModel):
    """The rules of one served head. By default it abstains only from what is outside the domain of the head."""

    kill_switch: Path | None = None
    """Abstain from everything while this file exists."""
    allow: AttributeValues = Field(default_factory=dict)
    """Abstain unless each of these attributes has one of its values."""
    deny: AttributeValues = Field(default_factory=dict)
    """Abstain if any of these attributes has one of its values."""
    minimum_confidence: float | None = Field(default=None, gt=0, le=1)
    """Abstain if the highest probability is lower."""
    out_of_domain: Literal["abstain", "answer"] | None = None
    """Whether to abstain from input that is unlike the training rows of the head. By default a head that has a domain
    abstains; `abstain` also refuses a head without one."""
    fallback: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    """The prediction of an abstention."""

    def resolve(self, folder: Path) -> "Rules":
        """Return the rules with the path of the kill switch resolved against a folder."""
        return self.model_copy(update={"kill_switch": self.kill_switch and folder / self.kill_switch})

    def find_error(self, stream: Stream, *, has_index: bool) -> str | None:
        """Return what is wrong with the rules for a stream, as the end of a sentence, or None."""
        if self.kill_switch and (error := _stat_error(self.kill_switch)):
            return f"rules.kill_switch cannot be accessed ({error}): choose another path."
        for rule, attributes in (("allow", self.allow), ("deny", self.deny)):
            for name, values in attributes.items():
                if name not in stream.attributes:
                    return f"rules.{rule} names the attribute {name}, which the stream {stream.stream} does not have."
                if invalid := [value for value in values if not stream.attributes[name].allows(value)]:
                    return f"rules.{rule}.{name} names {invalid[0]!r}, which the stream does not allow as a value."
        if has_index and any(each is not None for each in (self.minimum_confidence, self.out_of_domain, self.fallback)):
            return "rules of a head with an index can only be kill_switch, allow and deny: it predicts no class."
        return None

    def check_request(self, attributes: Attributes, *, is_stopped: bool) -> Abstention | None:
        """Return why to abstain before the content is encoded, or None."""
        if is_stopped:
            return Abstention.KILL_SWITCH
        if is_denied(self.deny, attributes):
            return Abstention.DENIED
        return None if is_allowed(self.allow, attributes) else Abstention.NOT_ALLOWED

    def check_answer(
        self, probabilities: Mapping[str, float] | None, in_domain: bool | None = None
    ) -> Abstention | None:
        """Return why to abstain after the head has answered, or None.

        `probabilities` is None for a number, and `in_domain` for a head without a domain.
        """
        if in_domain is False and self.out_of_domain != "answer":
            return Abstention.OUT_OF_DOMAIN
        if probabilities is None or is_confident(self.minimum_confidence, probabilities):
            return None
        return Abstention.LOW_CONFIDENCE


def _stat_error(path: Path) -> str | None:
    """Return the name of the error because of which the existence of a file cannot be determined, or None."""
    try:
        path.stat()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return type(error).__name__
    return None


def is_denied(deny: Mapping[str, tuple[str, ...]], attributes: Attributes) -> bool:
    """Return whether any attribute has a denied value."""
    return any(attributes.get(name) in values for name, values in deny.items())


def is_allowed(allow: Mapping[str, tuple[str, ...]], attributes: Attributes) -> bool:
    """Return whether every restricted attribute has an allowed value."""
    return all(attributes.get(name) in values for name, values in allow.items())


def is_confident(minimum: float | None, probabilities: Mapping[str, float]) -> bool:
    """Return whether the highest probability reaches the minimum."""
    return minimum is None or max(probabilities.values()) >= minimum

"""Business rules around a head: small named functions that decide without touching a model."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from pydantic import Field

from rawless.config import FrozenModel
from rawless.events.stream import Stream


class Abstention(StrEnum):
    """Why there is no prediction: a closed list."""

    KILL_SWITCH = "kill_switch"
    DENIED = "denied"
    NOT_ALLOWED = "not_allowed"
    LOW_CONFIDENCE = "low_confidence"


Attributes = Mapping[str, str]
Values = dict[str, tuple[str, ...]]
"""Of attributes, by their name."""


class Rules(FrozenModel):
    """The rules of one name. What is not said holds nobody back."""

    kill_switch: Path | None = None
    """Nothing is answered while there is such a file."""
    allow: Values = Field(default_factory=dict)
    """Only requests that have one of these values of each attribute are answered."""
    deny: Values = Field(default_factory=dict)
    """Requests that have one of these values of any attribute are not answered."""
    minimum_confidence: float | None = Field(default=None, gt=0, le=1)
    """The highest probability must be at least this."""
    fallback: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    """The answer where there is no prediction."""

    def below(self, folder: Path) -> "Rules":
        """With the kill switch found from a folder."""
        return self.model_copy(update={"kill_switch": self.kill_switch and folder / self.kill_switch})

    def fault(self, stream: Stream, *, scores: bool) -> str | None:
        """What is wrong with the rules for a stream, as the end of a sentence."""
        if self.kill_switch and (error := _unseen(self.kill_switch)):
            return f"rules.kill_switch cannot be looked at ({error}): name another path."
        for rule, values in (("allow", self.allow), ("deny", self.deny)):
            for name, listed in values.items():
                if name not in stream.attributes:
                    return f"rules.{rule} names the attribute {name}, but the stream {stream.stream} has no such one."
                if wrong := [each for each in listed if not stream.attributes[name].allows(each)]:
                    return f"rules.{rule}.{name} names {wrong[0]!r}, but the stream never lets this value through."
        if scores and (self.minimum_confidence is not None or self.fallback is not None):
            return "rules of a head with an index are kill_switch, allow and deny alone: it has no class to answer."
        return None

    def before(self, attributes: Attributes, *, stopped: bool) -> Abstention | None:
        """What is decided before anything is encoded."""
        if stopped:
            return Abstention.KILL_SWITCH
        if denied(self.deny, attributes):
            return Abstention.DENIED
        return None if allowed(self.allow, attributes) else Abstention.NOT_ALLOWED

    def after(self, probabilities: Mapping[str, float] | None) -> Abstention | None:
        """What is decided by the answer."""
        unsure = probabilities is not None and not confident(self.minimum_confidence, probabilities)
        return Abstention.LOW_CONFIDENCE if unsure else None


def _unseen(path: Path) -> str | None:
    """Why nobody can tell whether a file is there."""
    try:
        path.stat()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return type(error).__name__
    return None


def denied(deny: Mapping[str, tuple[str, ...]], attributes: Attributes) -> bool:
    """Whether any attribute has a value that is denied."""
    return any(attributes.get(name) in values for name, values in deny.items())


def allowed(allow: Mapping[str, tuple[str, ...]], attributes: Attributes) -> bool:
    """Whether every attribute that is restricted has a value that is allowed."""
    return all(attributes.get(name) in values for name, values in allow.items())


def confident(minimum: float | None, probabilities: Mapping[str, float]) -> bool:
    """Whether the highest probability is high enough."""
    return minimum is None or max(probabilities.values()) >= minimum

"""The file of a service: which heads answer under which name, for what content, under what rules, to whom."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import httpx
from pydantic import AfterValidator, Field, PositiveFloat, StrictInt, model_validator

from rawless.config import FrozenModel, read_yaml
from rawless.datasets.spec import Name
from rawless.errors import UserError
from rawless.events.stream import Stream, load_stream
from rawless.serving.rules import Rules

Scope = Literal["predict", "score", "encode", "classify", "metrics"]


def _reachable(url: str) -> str:
    try:
        _ = httpx.URL(url).host
    except (httpx.InvalidURL, ValueError):
        raise ValueError("a URL names a host, and a port that there can be") from None
    return url


Url = Annotated[
    str,
    Field(pattern=r"^https?://[A-Za-z0-9.\-_\[\]:]+(/[A-Za-z0-9.\-_/]*)?$", max_length=256),
    AfterValidator(_reachable),
]


class HeadConfig(FrozenModel):
    """A name that callers ask."""

    stream: Path
    """The stream's file: what content is taken, its limits, ids and attributes."""
    encoder: str | None = None
    """Of the stream's encoders the one whose vectors the head takes; the first by default."""
    arms: dict[Name, PositiveFloat] = Field(default_factory=dict)
    """The heads that answer, with their weights; the head of this name by default."""
    shadow: tuple[Name, ...] = ()
    """Heads that are asked too, after the answer, and not told."""
    also: tuple[Name, ...] = ()
    """Other names of this file that answer of the same encoding."""
    index: str | None = Field(default=None, min_length=1, max_length=64)
    """For heads of pairs: the snapshot (an id, or a dataset's name for its newest) that queries are scored against."""
    rules: Rules = Rules()
    log: bool = False
    """Whether what is served is logged as an embedding event and a prediction."""


class TokenConfig(FrozenModel):
    """A caller with a bearer token, which is kept as its digest."""

    name: Name
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: tuple[Scope, ...] = Field(min_length=1)


class GoogleConfig(FrozenModel):
    """Callers with a Google ID token."""

    audience: str = Field(min_length=1, max_length=256)
    accounts: dict[Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")], tuple[Scope, ...]] = Field(min_length=1)


class AccessConfig(FrozenModel):
    """Who may call."""

    tokens: tuple[TokenConfig, ...] = ()
    google: GoogleConfig | None = None

    @model_validator(mode="after")
    def _somebody(self) -> "AccessConfig":
        if not self.tokens and self.google is None:
            raise ValueError("access names nobody: give tokens, google, or both")
        return self


class RemoteConfig(FrozenModel):
    """A service that the orchestrator calls."""

    url: Url
    identity: Literal["token", "google"] = "token"
    """What it is told: the bearer token in RAWLESS_SERVICE_TOKEN, or a Google ID token of this machine's account."""


class ServiceLimits(FrozenModel):
    """What a service holds at most."""

    queue: StrictInt = Field(default=64, ge=1, le=10_000)
    """Requests at a time; the next one is answered 503."""
    seconds: float = Field(default=10, gt=0, le=300)
    """For a request, with the reading of its body; then it is answered 504."""
    log_rows: StrictInt = Field(default=10_000, ge=1, le=1_000_000)
    """Rows that wait to be written; what comes beyond is dropped and counted."""
    watch_seconds: float = Field(default=0.5, gt=0, le=60)
    """How often deployments and kill switches are looked at."""


class ServeConfig(FrozenModel):
    """A service."""

    heads: dict[Name, HeadConfig] = Field(min_length=1)
    head_folder: Path | None = None
    """Where deployed heads lie; the local heads by default."""
    access: AccessConfig | None = None
    encoder: RemoteConfig | None = None
    """For the orchestrator by itself: where the encoder service is."""
    classifier: RemoteConfig | None = None
    """Likewise."""
    limits: ServiceLimits = ServiceLimits()


class ServedHead(FrozenModel):
    """A name with all that its file says, read and checked."""

    name: str
    stream: Stream
    encoder: str
    arms: Mapping[str, float]
    shadow: tuple[str, ...]
    also: tuple[str, ...]
    index: str | None
    rules: Rules
    log: bool

    @property
    def models(self) -> tuple[str, ...]:
        """The heads that are asked, once each."""
        return tuple(dict.fromkeys((*self.arms, *self.shadow)))


def load_config(path: Path) -> tuple[ServeConfig, dict[str, ServedHead]]:
    """Read and check a service's file and its streams. Raises UserError naming field, value and rule."""
    config = read_yaml(path, ServeConfig, what="service file")
    config = config.model_copy(update={"head_folder": config.head_folder and path.parent / config.head_folder})
    served = {name: _served(name, head, path.parent) for name, head in config.heads.items()}
    _check_streams(path, served)
    for name, head in served.items():
        if fault := _fault(head, served):
            raise UserError(f"The service file {path}: heads.{name}.{fault}")
    return config, served


def _served(name: str, head: HeadConfig, folder: Path) -> ServedHead:
    stream = load_stream(folder / head.stream)
    return ServedHead(
        name=name,
        stream=stream,
        encoder=head.encoder or stream.encoders[0],
        arms=head.arms or {name: 1.0},
        shadow=head.shadow,
        also=head.also,
        index=head.index,
        rules=head.rules.below(folder),
        log=head.log,
    )


def _check_streams(path: Path, served: Mapping[str, ServedHead]) -> None:
    seen: dict[str, Stream] = {}
    for name, head in served.items():
        if seen.setdefault(head.stream.stream, head.stream) != head.stream:
            raise UserError(
                f"The service file {path}: heads.{name}.stream is another {head.stream.stream} than before."
            )


def _fault(head: ServedHead, served: Mapping[str, ServedHead]) -> str | None:
    """What is wrong with one, as the end of a sentence that begins with its name."""
    if head.encoder not in head.stream.encoders:
        return f"encoder is {head.encoder}, but the stream has {', '.join(head.stream.encoders)}: name one of them."
    for field, names in (("shadow", (*head.arms, *head.shadow)), ("also", head.also)):
        if twice := [each for each in names if names.count(each) > 1]:  # it would be asked twice, and logged twice
            return f"{field} names {twice[0]}, which answers already: name each once."
    for other in head.also:
        if other == head.name or other not in served:
            return f"also names {other}, but that is no other name under heads."
        if served[other].stream != head.stream or served[other].encoder != head.encoder:
            return f"also names {other}, which takes another stream or encoder: they cannot share an encoding."
        if served[other].index or served[other].log != head.log:
            return f"also names {other}, which has an index, or is logged otherwise: give both the same log."
    if head.index and (head.also or head.log):
        return "index belongs to a head that scores queries, which neither has also nor is logged."
    return head.rules.fault(head.stream, scores=head.index is not None)

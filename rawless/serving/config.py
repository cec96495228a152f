"""The file of a service: which heads it serves, for which content, under which rules, and who may call it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import httpx
from pydantic import AfterValidator, Field, PositiveFloat, StrictBool, StrictInt, model_validator

from rawless.config import FrozenModel, read_yaml
from rawless.datasets.spec import Name
from rawless.errors import UserError
from rawless.events.stream import Stream, load_stream
from rawless.loopback import is_loopback
from rawless.serving.rules import Rules

Scope = Literal["predict", "score", "encode", "classify", "metrics"]


def _check_url(url: str) -> str:
    try:
        host = httpx.URL(url).host
    except (httpx.InvalidURL, ValueError):
        raise ValueError("a URL must have a valid host and port") from None
    if not url.startswith("https://") and not is_loopback(host):
        raise ValueError(
            "content and tokens may leave this machine only over https; use a URL that begins with https://"
        )
    return url


ModelRef = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}(@[1-9][0-9]{0,8})?$")]
"""A deployed head by its name, whose live version answers, or a version of a head, as in `topic@2`."""
_VERSION = r"(0|[1-9]\d{0,5})"
TowerRef = Annotated[str, Field(pattern=rf"^[a-z0-9][a-z0-9-]{{0,62}}@{_VERSION}\.{_VERSION}\.{_VERSION}$")]
"""An encoder of queries by name and version, as in `support-queries@1.0.0`, whose vectors are compared by cosine."""
Url = Annotated[
    str,
    Field(pattern=r"^https?://[A-Za-z0-9.\-_\[\]:]+(/[A-Za-z0-9.\-_/]*)?$", max_length=256),
    AfterValidator(_check_url),
]


class HeadConfig(FrozenModel):
    """A served head: the name that callers use, and the deployed heads that answer for it."""

    stream: Path
    """The stream's file, which defines the content that is accepted: its limits, ids and attributes."""
    encoder: str | None = None
    """The encoder of the stream whose vectors the head takes, for good; by default always the stream's live one."""
    adapted: bool = False
    """Whether its encoder, which has an adapter, answers in the place of the one that the adapter maps to."""
    arms: dict[ModelRef | TowerRef, PositiveFloat] = Field(default_factory=dict)
    """The heads that answer, with their weights; the deployed head of the same name by default.

    With an index also encoders of queries: a query tower, or the encoder of the index itself."""
    shadow: tuple[ModelRef, ...] = ()
    """Heads that are called after the response was computed. Their answers are not returned."""
    also: tuple[Name, ...] = ()
    """Other served heads whose predictions, from the same encoding, are returned as well."""
    index: str | None = Field(default=None, min_length=1, max_length=64)
    """For heads of pairs: the snapshot against which queries are scored, an id or a dataset for the one built last."""
    rules: Rules = Rules()
    log: bool = False
    """Whether requests are logged as embedding events and predictions."""


class TokenConfig(FrozenModel):
    """A caller with a bearer token, of which only the digest is stored."""

    name: Name
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: tuple[Scope, ...] = Field(min_length=1)


class GoogleConfig(FrozenModel):
    """Callers with a Google ID token, by their account."""

    audience: str = Field(min_length=1, max_length=256)
    accounts: dict[Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")], tuple[Scope, ...]] = Field(min_length=1)


class AccessConfig(FrozenModel):
    """The callers of a service."""

    tokens: tuple[TokenConfig, ...] = ()
    google: GoogleConfig | None = None

    @model_validator(mode="after")
    def _has_callers(self) -> "AccessConfig":
        if not self.tokens and self.google is None:
            raise ValueError("access has no callers: add tokens, google, or both")
        return self


def _check_origin(origin: str) -> str:
    if not (parts := _ORIGIN.fullmatch(origin)):
        raise ValueError(
            "an origin is exactly what a browser sends, as in https://shop.example or http://localhost:3000: "
            "a scheme and a host in lower case, without a path, a wildcard or the default port"
        )
    if parts["scheme"] == "http" and not is_loopback(parts["host"].strip("[]")):
        raise ValueError("pages of an http origin can be changed on their way; use https, or a loopback host")
    if (parts["scheme"], parts["port"]) in (("http", "80"), ("https", "443")):
        raise ValueError("browsers leave out the default port of an origin; leave it out")
    return origin


_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::(?P<port>[1-9]\d{0,4}))?",
    re.ASCII,
)
Origin = Annotated[str, Field(max_length=300), AfterValidator(_check_origin)]


class CorsConfig(FrozenModel):
    """The web pages that may call a service, besides its own."""

    origins: tuple[Origin, ...] = Field(min_length=1)


class RemoteConfig(FrozenModel):
    """A service that the orchestrator calls."""

    url: Url
    identity: Literal["token", "google"] = "token"
    """How the orchestrator authenticates: the bearer token in RAWLESS_SERVICE_TOKEN, or a Google ID token."""


_DEFAULT_ITEMS = 32


class ServiceLimits(FrozenModel):
    """The limits of a service."""

    queue: StrictInt = Field(default=64, ge=1, le=10_000)
    """Items in progress; a request for which there is no place is answered with 503."""
    items: StrictInt | None = Field(default=None, ge=1, le=1_000)
    """Items that one request may have; 32 by default, or `queue` if that is less."""
    batch_bytes: StrictInt = Field(default=32 << 20, ge=1, le=1 << 30)
    """Size of the body of a request with several items."""
    seconds: float = Field(default=10, gt=0, le=300)
    """Time for a request, including the reading of its body; then it is answered with 504."""
    log_rows: StrictInt = Field(default=10_000, ge=1, le=1_000_000)
    """Rows of the prediction log that wait to be written; further ones are dropped and counted."""
    watch_seconds: float = Field(default=0.5, gt=0, le=60)
    """Interval between two checks of deployments and kill switches."""
    pointer_seconds: float = Field(default=5, gt=0, le=300)
    """Interval between two checks of which encoder of a stream is live."""
    index_seconds: float = Field(default=300, gt=0, le=86_400)
    """Interval between two checks whether a dataset of an index has a newer snapshot, or an erasure deleted rows."""
    index_bytes: StrictInt = Field(default=8_000_000_000, ge=1_000_000)
    """Memory that an index may need; another one is loaded beside it while it is replaced."""

    @model_validator(mode="after")
    def _queue_holds_items(self) -> "ServiceLimits":
        if self.items is not None and self.items > self.queue:
            raise ValueError(
                f"items is {self.items}, but queue has places for {self.queue}: a request with that many items would "
                "never be answered; raise queue or lower items"
            )
        return self

    @property
    def max_items(self) -> int:
        """The number of items that one request may have."""
        return min(_DEFAULT_ITEMS, self.queue) if self.items is None else self.items


class ServeConfig(FrozenModel):
    """The file of a service."""

    heads: dict[Name, HeadConfig] = Field(min_length=1)
    head_folder: Path | None = None
    """The folder of the deployed heads; the local heads by default."""
    access: AccessConfig | None = None
    cors: CorsConfig | None = None
    docs: StrictBool | None = None
    """Whether there is the page /docs; by default if there is no `access`."""
    encoder: RemoteConfig | None = None
    """The encoder service, for a separate orchestrator."""
    classifier: RemoteConfig | None = None
    """The classifier service, for a separate orchestrator."""
    limits: ServiceLimits = ServiceLimits()

    @model_validator(mode="after")
    def _has_local_origins(self) -> "ServeConfig":
        for origin in self.cors.origins if self.cors and self.access is None else ():
            if not is_loopback(httpx.URL(origin).host):
                raise ValueError(
                    f"cors.origins has {origin}, whose pages could call the service of anybody who looks at them: add "
                    "access with tokens, or name only origins of this machine"
                )
        return self

    @property
    def has_page(self) -> bool:
        """Whether there is the page /docs."""
        return self.access is None if self.docs is None else self.docs


class ServedHead(FrozenModel):
    """A served head with defaults applied, its stream loaded and its paths resolved."""

    name: str
    stream: Stream
    encoder: str
    """If it follows the stream's live encoder: the one that is live while the stream has no pointers."""
    follows_stream: bool
    arms: Mapping[str, float]
    shadow: tuple[str, ...]
    also: tuple[str, ...]
    index: str | None
    rules: Rules
    log: bool
    adapted: bool = False

    @property
    def models(self) -> tuple[str, ...]:
        """The heads that are called, without duplicates."""
        return tuple(dict.fromkeys((*(arm for arm in self.arms if not is_tower(arm)), *self.shadow)))

    @property
    def towers(self) -> tuple[str, ...]:
        """The arms that are encoders of queries."""
        return tuple(filter(is_tower, self.arms))


def is_tower(arm: str) -> bool:
    """Return whether an arm is an encoder of queries: its version has dots, that of a head has none."""
    return "." in arm


_SHARED_BY_ALSO = ("stream", "encoder", "follows_stream")


def split_ref(ref: str) -> tuple[str, int | None]:
    """Return the name and the version of a `ModelRef`, None for the live version."""
    name, _, version = ref.partition("@")
    return name, int(version) if version else None


def load_config(path: Path) -> tuple[ServeConfig, dict[str, ServedHead]]:
    """Read and check a service's file and its streams. Raises UserError that names field, value and rule."""
    config = read_yaml(path, ServeConfig, what="service file")
    config = config.model_copy(update={"head_folder": config.head_folder and path.parent / config.head_folder})
    served = {name: _load_head(name, head, path.parent) for name, head in config.heads.items()}
    _check_streams(path, served)
    for name, head in served.items():
        if error := _find_error(head, served):
            raise UserError(f"The service file {path}: heads.{name}.{error}")
    return config, served


def _load_head(name: str, head: HeadConfig, folder: Path) -> ServedHead:
    stream = load_stream(folder / head.stream)
    return ServedHead(
        name=name,
        stream=stream,
        encoder=head.encoder or stream.encoders[0],
        follows_stream=head.encoder is None,
        arms=head.arms or {name: 1.0},
        shadow=head.shadow,
        also=head.also,
        index=head.index,
        rules=head.rules.resolve(folder),
        log=head.log,
        adapted=head.adapted,
    )


def _check_streams(path: Path, served: Mapping[str, ServedHead]) -> None:
    streams: dict[str, Stream] = {}
    for name, head in served.items():
        if streams.setdefault(head.stream.stream, head.stream) != head.stream:
            raise UserError(
                f"The service file {path}: heads.{name}.stream and another head define the stream "
                f"{head.stream.stream} differently: use one file for both."
            )


def _find_error(head: ServedHead, served: Mapping[str, ServedHead]) -> str | None:
    """Return what is wrong with a head, as the end of a sentence that begins with its name, or None."""
    if head.adapted and head.follows_stream:
        return "adapted is true, but the stream's live encoder may change: name the one with the adapter as encoder."
    if head.encoder not in head.stream.encoders and not head.adapted:  # ingest need not embed by one with an adapter
        return f"encoder is {head.encoder}, but the stream has {', '.join(head.stream.encoders)}: choose one of them."
    for field, names in (("shadow", (*head.arms, *head.shadow)), ("also", head.also)):
        if duplicates := [name for name in names if names.count(name) > 1]:  # called and logged twice
            return f"{field} names {duplicates[0]}, which answers already: name each head once."
    for other in head.also:
        if other == head.name or other not in served:
            return f"also names {other}, which is not another head of this file."
        if any(getattr(served[other], field) != getattr(head, field) for field in _SHARED_BY_ALSO):
            return f"also names {other}, which has another stream or encoder: they cannot share an encoding."
        if served[other].index or served[other].log != head.log:
            return f"also names {other}, which has an index or another value of log: both must have the same."
    return _find_index_error(head) or head.rules.find_error(head.stream, has_index=head.index is not None)


def _find_index_error(head: ServedHead) -> str | None:
    if head.towers and not head.index:
        return f"arms names the encoder {head.towers[0]}, but only a head with an index is answered by encoders alone."
    if head.index and (head.also or head.log):
        return "index cannot be combined with also or log: a head with an index only scores queries."
    return None

"""Pub/Sub: its address and clients, names of topics and subscriptions, and their creation on an emulator."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from google.api_core.exceptions import AlreadyExists, GoogleAPIError, NotFound, PermissionDenied
from google.api_core.retry import Retry, if_transient_error
from google.auth.exceptions import GoogleAuthError
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from rawless.bearer import open_channel
from rawless.errors import Unavailable, UserError

ACK_SECONDS = 60
"""How long a reader may work on a message before it is delivered again; also how long those of a killed one wait."""
_NAME = re.compile(
    r"projects/[a-z][a-z0-9.:-]{4,60}[a-z0-9]/(topics|subscriptions)/(?!goog)[A-Za-z][\w.~+%-]{2,254}", re.A
)
START_SECONDS = 10.0
"""For how long requests are retried before a job starts."""


@dataclass(frozen=True)
class PubSub:
    """The address of Pub/Sub. It can be pickled into a job."""

    emulator: str | None = None
    """The address of an emulator, as in 127.0.0.1:8085; None means Google's service."""
    token: str = field(default="", repr=False)
    """What each request to the emulator must contain, if anything."""

    def publisher(self) -> PublisherClient:
        """Return a new client for publishing. Raises UserError if there are no credentials."""
        return self._client(PublisherClient, PublisherGrpcTransport)

    def subscriber(self) -> SubscriberClient:
        """Return a new client for subscriptions. Raises UserError if there are no credentials."""
        return self._client(SubscriberClient, SubscriberGrpcTransport)

    def ensure_topic(self, name: str) -> None:
        """Create the topic on an emulator if it does not exist. Raises UserError if it does not exist at Google."""
        with self.publisher() as client:
            get, create = partial(client.get_topic, topic=name), partial(client.create_topic, name=name)
            self._ensure(f"topic {name}", get, create)

    def ensure_subscription(self, name: str, topic: str) -> str:
        """Create a subscription and its topic in the same way, and return the topic of the subscription."""

        def create() -> Any:
            self.ensure_topic(topic)
            request = {"name": name, "topic": topic, "ack_deadline_seconds": ACK_SECONDS}
            return client.create_subscription(request=request)

        with self.subscriber() as client:
            get = partial(client.get_subscription, subscription=name)
            subscription = self._ensure(f"subscription {name}", get, create)
        return str(subscription.topic) if subscription else topic

    def _client(self, client: Callable[..., Any], transport: Callable[..., Any]) -> Any:
        if self.emulator:
            return client(transport=transport(channel=open_channel(self.emulator, self.token)))
        try:
            return client()
        except GoogleAuthError:
            raise UserError(
                "There are no Google credentials here: run `gcloud auth application-default login`."
            ) from None

    def _ensure(self, description: str, get: Callable[..., Any], create: Callable[[], Any]) -> Any:
        try:
            try:
                return get(retry=retry(START_SECONDS))
            except NotFound:
                if not self.emulator:
                    raise
                return create()
        except (AlreadyExists, PermissionDenied):  # an account that may use it need not be allowed to get it
            return None
        except NotFound:
            raise UserError(f"The {description} does not exist: create it, or name another.") from None
        except (GoogleAPIError, GoogleAuthError) as error:
            raise unavailable(error) from None


def check_name(name: str, kind: str, option: str) -> str:
    """Return the name of a topic or subscription, as `kind` says.

    Raises UserError, which names the option, if the name is not valid.
    """
    match = _NAME.fullmatch(name)
    if match is None or match[1] != kind:
        raise UserError(
            f"{option} names {name!r}, but must name projects/PROJECT/{kind}/NAME, with a NAME of 3 to 255 letters, "
            "digits and -_.~+%."
        )
    return name


def unavailable(error: Exception) -> Unavailable:
    """Return the error to raise when Pub/Sub does not answer. Of the client's error only the type is kept."""
    return Unavailable(f"Pub/Sub did not answer ({type(error).__name__}); run the command again.")


def retry(seconds: float) -> Retry:
    """Return the retry policy of a client's call: for this long, while Pub/Sub is unavailable."""
    return Retry(predicate=if_transient_error, initial=0.1, maximum=2.0, timeout=seconds)

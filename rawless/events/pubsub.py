"""Pub/Sub: where it is, names of topics and subscriptions, clients, and making what is missing on an emulator."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
from google.api_core.exceptions import AlreadyExists, GoogleAPIError, NotFound, PermissionDenied
from google.api_core.retry import Retry, if_transient_error
from google.auth.exceptions import GoogleAuthError
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from rawless.errors import Unavailable, UserError

ACK_SECONDS = 60
"""For how long a reader may be busy with what it took, before others get it; a killed one's messages wait as long."""
_NAME = re.compile(
    r"projects/[a-z][a-z0-9.:-]{4,60}[a-z0-9]/(topics|subscriptions)/(?!goog)[A-Za-z][\w.~+%-]{2,254}", re.A
)
START_SECONDS = 10.0
"""For how long Pub/Sub is asked again before a job starts."""
_LIMIT = [("grpc.max_receive_message_length", -1)]


@dataclass(frozen=True)
class PubSub:
    """Where Pub/Sub is. Holds an address alone, so that it travels in a job."""

    emulator: str | None = None
    """Of an emulator, as in 127.0.0.1:8085; without one, Google's own."""

    def publisher(self) -> PublisherClient:
        """The official client. Raises UserError without credentials."""
        return self._client(PublisherClient, PublisherGrpcTransport)

    def subscriber(self) -> SubscriberClient:
        """The official client. Raises UserError without credentials."""
        return self._client(SubscriberClient, SubscriberGrpcTransport)

    def ensure_topic(self, name: str) -> None:
        """Make the topic on an emulator when it is missing; raise UserError when it is missing at Google's."""
        with self.publisher() as client:
            get, create = partial(client.get_topic, topic=name), partial(client.create_topic, name=name)
            self._ensure(f"topic {name}", get, create)

    def ensure_subscription(self, name: str, topic: str) -> str:
        """Likewise a subscription, and its topic; returns the topic that it is of."""

        def create() -> Any:
            self.ensure_topic(topic)
            request = {"name": name, "topic": topic, "ack_deadline_seconds": ACK_SECONDS}
            return client.create_subscription(request=request)

        with self.subscriber() as client:
            made = self._ensure(f"subscription {name}", partial(client.get_subscription, subscription=name), create)
        return str(made.topic) if made else topic

    def _client(self, client: Callable[..., Any], transport: Callable[..., Any]) -> Any:
        if self.emulator:
            return client(transport=transport(channel=grpc.insecure_channel(self.emulator, options=_LIMIT)))
        try:
            return client()
        except GoogleAuthError:
            raise UserError(
                "There are no Google credentials here: run `gcloud auth application-default login`."
            ) from None

    def _ensure(self, what: str, get: Callable[..., Any], create: Callable[[], Any]) -> Any:
        try:
            try:
                return get(retry=retry(START_SECONDS))
            except NotFound:
                if not self.emulator:
                    raise
                return create()
        except (AlreadyExists, PermissionDenied):  # whoever may use it need not be allowed to look
            return None
        except NotFound:
            raise UserError(f"The {what} does not exist: create it, or name another.") from None
        except (GoogleAPIError, GoogleAuthError) as error:
            raise unavailable(error) from None


def check_name(name: str, kind: str, option: str) -> str:
    """The name of a topic or subscription, as `kind` says. Raises UserError naming the option when it is none."""
    match = _NAME.fullmatch(name)
    if match is None or match[1] != kind:
        raise UserError(
            f"{option} names {name!r}, but must name projects/PROJECT/{kind}/NAME, with a NAME of 3 to 255 letters, "
            "digits and -_.~+%."
        )
    return name


def unavailable(error: Exception) -> Unavailable:
    """What to tell when Pub/Sub is away; of the error its type alone."""
    return Unavailable(f"Pub/Sub did not answer ({type(error).__name__}); run the command again.")


def retry(seconds: float) -> Retry:
    """How a call of a client is tried again while Pub/Sub is away."""
    return Retry(predicate=if_transient_error, initial=0.1, maximum=2.0, timeout=seconds)

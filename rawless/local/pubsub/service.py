"""Serve the broker over gRPC: translate requests to calls, and errors to status codes."""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, Self

import grpc
from google.protobuf import empty_pb2
from google.pubsub_v1 import types

from rawless.local.pubsub import checks
from rawless.local.pubsub.backlog import Demand, Lease
from rawless.local.pubsub.broker import Broker
from rawless.local.pubsub.errors import PubSubError, invalid
from rawless.privacy.logs import withheld

HOLD_SECONDS = 1.0
"""How long a pull waits for messages when there are none."""
_THREADS = 1000
"""Each streaming pull occupies a thread, and so does each waiting pull."""
_STREAM_COUNT = 1000
_PUBLISHER = "google.pubsub.v1.Publisher"
_SUBSCRIBER = "google.pubsub.v1.Subscriber"


def start(broker: Broker, *interceptors: grpc.ServerInterceptor) -> tuple[grpc.Server, str]:
    """Serve a broker on a free loopback port. Returns the server and its address, such as 127.0.0.1:8085."""
    server = grpc.server(
        futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="pubsub"),
        interceptors=interceptors,
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    service = Service(broker)
    server.add_generic_rpc_handlers((service.publisher(), service.subscriber()))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


class Service:
    """The methods of Publisher and Subscriber that are supported; gRPC answers others with UNIMPLEMENTED."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def publisher(self) -> grpc.GenericRpcHandler:
        """Return the handler of the Publisher service."""
        broker = self._broker
        return _handler(
            _PUBLISHER,
            CreateTopic=_unary(types.Topic, lambda request, _: broker.create_topic(request)),
            GetTopic=_unary(types.GetTopicRequest, lambda request, _: broker.topic(request.topic)),
            ListTopics=_unary(types.ListTopicsRequest, self._list_topics),
            ListTopicSubscriptions=_unary(types.ListTopicSubscriptionsRequest, self._list_topic_subscriptions),
            DeleteTopic=_unary(types.DeleteTopicRequest, lambda request, _: broker.delete_topic(request.topic)),
            Publish=_unary(types.PublishRequest, self._publish),
        )

    def subscriber(self) -> grpc.GenericRpcHandler:
        """Return the handler of the Subscriber service."""
        broker = self._broker
        return _handler(
            _SUBSCRIBER,
            CreateSubscription=_unary(types.Subscription, lambda request, _: broker.create_subscription(request)),
            GetSubscription=_unary(
                types.GetSubscriptionRequest, lambda request, _: broker.subscription(request.subscription)
            ),
            ListSubscriptions=_unary(types.ListSubscriptionsRequest, self._list_subscriptions),
            DeleteSubscription=_unary(
                types.DeleteSubscriptionRequest, lambda request, _: broker.delete_subscription(request.subscription)
            ),
            Pull=_unary(types.PullRequest, self._pull),
            StreamingPull=_stream(types.StreamingPullRequest, self._streaming_pull),
            Acknowledge=_unary(
                types.AcknowledgeRequest,
                lambda request, _: broker.acknowledge(request.subscription, request.ack_ids),
            ),
            ModifyAckDeadline=_unary(
                types.ModifyAckDeadlineRequest,
                lambda request, _: broker.extend(request.subscription, request.ack_ids, request.ack_deadline_seconds),
            ),
            Seek=_unary(types.SeekRequest, self._seek),
        )

    def _list_topics(self, request: Any, _: grpc.ServicerContext) -> Any:
        return types.ListTopicsResponse.pb()(topics=self._broker.topics(request.project))

    def _list_topic_subscriptions(self, request: Any, _: grpc.ServicerContext) -> Any:
        self._broker.topic(request.topic)
        names = [config.name for config in self._broker.subscriptions(request.topic)]
        return types.ListTopicSubscriptionsResponse.pb()(subscriptions=names)

    def _list_subscriptions(self, request: Any, _: grpc.ServicerContext) -> Any:
        return types.ListSubscriptionsResponse.pb()(subscriptions=self._broker.subscriptions(request.project))

    def _publish(self, request: Any, _: grpc.ServicerContext) -> Any:
        return types.PublishResponse.pb()(message_ids=self._broker.publish(request.topic, request.messages))

    def _pull(self, request: Any, context: grpc.ServicerContext) -> Any:
        if request.max_messages < 1:
            raise invalid("max_messages must be at least 1")
        context.add_callback(self._broker.wake)
        wait = 0.0 if request.return_immediately else HOLD_SECONDS
        leases = self._broker.take(request.subscription, Demand(request.max_messages), wait, context.is_active)
        return types.PullResponse.pb()(received_messages=_received(leases))

    def _seek(self, request: Any, _: grpc.ServicerContext) -> Any:
        if request.WhichOneof("target") != "time":
            raise invalid("the local Pub/Sub does not support snapshots: seek to a time")
        self._broker.seek(request.subscription, request.time.ToNanoseconds() / 1e9)
        return types.SeekResponse.pb()()

    def _streaming_pull(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        first = next(requests)
        if first.stream_ack_deadline_seconds < 10:
            raise invalid("stream_ack_deadline_seconds must be 10 to 600")
        checks.check_deadline(first.stream_ack_deadline_seconds)
        stream = _Stream(self._broker, first)
        context.add_callback(stream.close)
        threading.Thread(target=stream.listen, args=(requests,), daemon=True).start()
        while stream.open:
            if leases := self._broker.take(stream.subscription, stream.demand, HOLD_SECONDS, lambda: stream.open):
                yield types.StreamingPullResponse.pb()(received_messages=_received(leases))
        if stream.error is not None:
            raise stream.error


class _Stream:
    """One streaming pull: the client's flow control limits, and its acknowledgements."""

    def __init__(self, broker: Broker, first: Any) -> None:
        self._broker = broker
        self.open = True
        self.error: PubSubError | None = None
        self.subscription = first.subscription
        self.demand = Demand(
            _STREAM_COUNT,
            holder=self,
            max_outstanding=max(0, first.max_outstanding_messages),
            max_outstanding_bytes=max(0, first.max_outstanding_bytes),
            seconds=first.stream_ack_deadline_seconds,
        )

    def listen(self, requests: Iterator[Any]) -> None:
        """Apply the client's acknowledgements and lease extensions until it closes the stream."""
        try:
            for request in requests:
                self._broker.acknowledge(self.subscription, request.ack_ids)
                extensions = zip(request.modify_deadline_ack_ids, request.modify_deadline_seconds, strict=False)
                for ack_id, seconds in extensions:
                    self._broker.extend(self.subscription, [ack_id], seconds)
        except PubSubError as error:
            self.error = error
        except grpc.RpcError:  # the client disconnected
            pass
        finally:
            self.close()

    def close(self) -> None:
        """End the stream."""
        self.open = False
        self._broker.wake()


def _received(leases: list[Lease]) -> list[Any]:
    received_message = types.ReceivedMessage.pb()
    return [received_message(ack_id=lease.ack_id, message=lease.message.proto) for lease in leases]


def _handler(service: str, **methods: grpc.RpcMethodHandler) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(service, methods)


def _unary(request: Any, method: Callable[[Any, grpc.ServicerContext], Any]) -> grpc.RpcMethodHandler:
    def answer(message: Any, context: grpc.ServicerContext) -> Any:
        with withheld(), _ErrorStatus() as status:
            return method(message, context) or empty_pb2.Empty()
        return context.abort(status.code, status.sentence)

    return grpc.unary_unary_rpc_method_handler(answer, request.pb().FromString, _serialized)


def _stream(request: Any, method: Callable[[Iterator[Any], grpc.ServicerContext], Iterator[Any]]) -> Any:
    def answer(messages: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        with _ErrorStatus() as status:  # without `withheld`, which must be left in the context that it was entered in
            yield from method(messages, context)
            return
        context.abort(status.code, status.sentence)

    return grpc.stream_stream_rpc_method_handler(answer, request.pb().FromString, _serialized)


def _serialized(message: Any) -> bytes:
    content: bytes = message.SerializeToString()
    return content


class _ErrorStatus:
    """Turns an exception into a gRPC status; an unexpected one by its type only, as its text may contain content."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        if isinstance(error, PubSubError):
            self.code, self.sentence = error.code, error.sentence
        elif isinstance(error, Exception):
            self.code, self.sentence = grpc.StatusCode.INTERNAL, f"internal error ({type(error).__name__})"
        return isinstance(error, Exception)

"""No sequence of operations loses a message or delivers an acknowledged one again."""

from google.pubsub_v1 import types
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rawless.local.pubsub.backlog import Backlog, Demand, Lease, Message

DEADLINE = 10


class Backlogs(RuleBasedStateMachine):
    """A backlog beside a simple model of the messages that it must contain."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.published = 0
        self.open: set[int] = set()
        self.leases: list[Lease] = []
        config = types.Subscription.pb()(name="s", ack_deadline_seconds=DEADLINE)
        self.backlog = Backlog(config)

    @rule(count=st.integers(1, 5))
    def publish(self, count: int) -> None:
        for _ in range(count):
            self.published += 1
            proto = types.PubsubMessage.pb()(data=b"x")
            self.backlog.add(Message(proto, self.now, self.published, proto.ByteSize()))
            self.open.add(self.published)

    @rule(count=st.integers(1, 7))
    def take(self, count: int) -> None:
        held = {lease.message.order for lease in self._live()}
        taken = self.backlog.take(Demand(count), self.now)
        orders = [lease.message.order for lease in taken]
        assert len(set(orders)) == len(orders)
        assert set(orders) <= self.open - held  # it is neither leased nor acknowledged
        assert len(orders) == min(count, len(self.open - held))  # and every waiting message is leased
        self.leases += taken

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        if self.leases:
            lease = data.draw(st.sampled_from(self.leases))
            if lease in self._live():
                self.open.discard(lease.message.order)
            self.backlog.acknowledge([lease.ack_id], self.now)
            self.leases.remove(lease)

    @rule(data=st.data(), seconds=st.sampled_from([0, 5, 60]))
    def extend(self, data: st.DataObject, seconds: int) -> None:
        if live := self._live():
            lease = data.draw(st.sampled_from(live))
            self.backlog.extend([lease.ack_id], seconds, self.now)
            assert lease.until == self.now + seconds

    @rule(seconds=st.integers(1, 25))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def seek_to_the_start(self) -> None:
        self.backlog.seek(0)
        self.leases = []

    @invariant()
    def its_size_is_that_of_the_open_messages(self) -> None:
        assert self.backlog.bytes == len(self.open) * types.PubsubMessage.pb()(data=b"x").ByteSize()

    def _live(self) -> list[Lease]:
        return [lease for lease in self.leases if lease.until > self.now]


TestBacklogs = Backlogs.TestCase


def test_messages_are_dropped_after_their_retention() -> None:
    config = types.Subscription.pb()(name="s", message_retention_duration={"seconds": 600})
    backlog = Backlog(config)
    for order, published in enumerate([0.0, 500.0]):
        proto = types.PubsubMessage.pb()(data=b"x")
        backlog.add(Message(proto, published, order, proto.ByteSize()))

    taken = backlog.take(Demand(10), now=700.0)

    assert [lease.message.order for lease in taken] == [1]


def test_a_response_is_not_larger_than_the_protocol_allows() -> None:
    backlog = Backlog(types.Subscription.pb()(name="s"))
    for order in range(5):
        proto = types.PubsubMessage.pb()(data=b"x" * 4_000_000)
        backlog.add(Message(proto, 0.0, order, proto.ByteSize()))

    assert [len(backlog.take(Demand(10), now=0.0)) for _ in range(4)] == [2, 2, 1, 0]


def test_a_message_that_is_larger_than_a_response_is_delivered_alone() -> None:
    backlog = Backlog(types.Subscription.pb()(name="s"))
    sizes = [10, 10_000_100, 10]
    for order, size in enumerate(sizes):
        backlog.add(Message(types.PubsubMessage.pb()(data=b"x"), 0.0, order, size))

    taken = [[lease.message.order for lease in backlog.take(Demand(1 if not n else 10), now=0.0)] for n in range(3)]

    assert taken == [[0], [1], [2]]

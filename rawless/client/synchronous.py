"""The client for programs without an event loop."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import sleep
from typing import Self, TypeVar, Unpack, cast

import httpx

from rawless.answers import Offer, Prediction, Result, Scores
from rawless.client import flows
from rawless.client.base import ClientBase, Settings
from rawless.client.connection import failure_of, reply_of
from rawless.client.items import Item, ItemFields, encode

T = TypeVar("T")


class Client(ClientBase):
    """A client of one service. It may be used by several threads at once."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        """`transport` is httpx's. Raises UserError for a URL that is neither https nor one of this machine."""
        super().__init__(url, token, settings)
        address = self._address
        self._http = httpx.Client(
            base_url=address.url, headers=address.headers, timeout=address.timeout, trust_env=address.trust_env,
            transport=transport,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def heads(self) -> list[Offer]:
        """Return the served heads. Raises ServiceError, as every method does."""
        return self._run(flows.list_heads(self._retries))

    def predict(self, head: str, **item: Unpack[ItemFields]) -> Prediction:
        """Return the prediction of a head for one item, described as by `Item`."""
        return self._run(flows.predict(head, Item(**item), self._retries))

    def score(self, head: str, *, top: int = 10, arm: str | None = None, **item: Unpack[ItemFields]) -> Scores:
        """Return the events of the index of a head that match a query best, by the arm of that name if it is given."""
        return self._run(flows.score(head, Item(**item), top, arm, self._retries))

    def predict_many(self, head: str, items: Iterable[Item]) -> list[Result]:
        """Return the result for each item in their order: a prediction, or the reason why there is none.

        Items are sent in as few requests as the service takes them. It raises only for what concerns all of them, such
        as an unknown token.
        """
        encoded = list(encode(items))
        if not encoded:
            return []
        if head not in self._offers:
            self._offers = {offer.head: offer for offer in self.heads()}
        answered = self._run_all(self._requests(head, encoded))
        return [result for results in answered for result in results]

    def _run_all(self, todo: Sequence[flows.Flow[T]]) -> list[T]:
        with ThreadPoolExecutor(min(self._concurrency, len(todo))) as threads:
            running = [threads.submit(self._run, flow) for flow in todo]
            try:
                return [each.result() for each in running]
            finally:
                for each in running:  # after an error for all of them, the others are not sent
                    each.cancel()

    def _run(self, flow: flows.Flow[T]) -> T:
        reply: flows.Reply | None = None
        while True:
            try:
                step = flow.send(reply)
            except StopIteration as end:
                return cast("T", end.value)
            if isinstance(step, flows.Call):
                reply = self._send(step)
            else:
                sleep(step.seconds)
                reply = None

    def _send(self, call: flows.Call) -> flows.Reply:
        try:
            return reply_of(self._http.request(call.method, call.path, content=call.content, headers=call.headers))
        except httpx.HTTPError as error:  # its text is dropped
            return failure_of(error)

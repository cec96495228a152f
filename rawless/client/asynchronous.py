"""The client for programs with an event loop."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Self, TypeVar, Unpack, cast

import httpx

from rawless.answers import Offer, Prediction, Result, Scores
from rawless.client import flows
from rawless.client.base import ClientBase, Settings
from rawless.client.connection import failure_of, reply_of
from rawless.client.items import Item, ItemFields, encode

T = TypeVar("T")


class AsyncClient(ClientBase):
    """A client of one service. It may be used by several tasks at once."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        """`transport` is httpx's. Raises UserError for a URL that is neither https nor one of this machine."""
        super().__init__(url, token, settings)
        address = self._address
        self._http = httpx.AsyncClient(
            base_url=address.url, headers=address.headers, timeout=address.timeout, trust_env=address.trust_env,
            transport=transport,
        )  # fmt: skip

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def heads(self) -> list[Offer]:
        """Return the served heads. Raises ServiceError, as every method does."""
        return await self._run(flows.list_heads(self._retries))

    async def predict(self, head: str, **item: Unpack[ItemFields]) -> Prediction:
        """Return the prediction of a head for one item, described as by `Item`."""
        return await self._run(flows.predict(head, Item(**item), self._retries))

    async def score(self, head: str, *, top: int = 10, arm: str | None = None, **item: Unpack[ItemFields]) -> Scores:
        """Return the events of the index of a head that match a query best, by the arm of that name if it is given."""
        return await self._run(flows.score(head, Item(**item), top, arm, self._retries))

    async def predict_many(self, head: str, items: Iterable[Item]) -> list[Result]:
        """Return the result for each item in their order: a prediction, or the reason why there is none.

        Items are sent in as few requests as the service takes them. It raises only for what concerns all of them, such
        as an unknown token.
        """
        encoded = list(encode(items))
        if not encoded:
            return []
        if head not in self._offers:
            self._offers = {offer.head: offer for offer in await self.heads()}
        answered = await self._run_all(self._requests(head, encoded))
        return [result for results in answered for result in results]

    async def _run_all(self, todo: Sequence[flows.Flow[T]]) -> list[T]:
        places = asyncio.Semaphore(self._concurrency)

        async def run(flow: flows.Flow[T]) -> T:
            async with places:
                return await self._run(flow)

        try:
            async with asyncio.TaskGroup() as group:
                running = [group.create_task(run(flow)) for flow in todo]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [each.result() for each in running]

    async def _run(self, flow: flows.Flow[T]) -> T:
        reply: flows.Reply | None = None
        while True:
            try:
                step = flow.send(reply)
            except StopIteration as end:
                return cast("T", end.value)
            reply = await (self._send(step) if isinstance(step, flows.Call) else asyncio.sleep(step.seconds))

    async def _send(self, call: flows.Call) -> flows.Reply:
        try:
            return reply_of(
                await self._http.request(call.method, call.path, content=call.content, headers=call.headers)
            )
        except httpx.HTTPError as error:  # its text is dropped
            return failure_of(error)

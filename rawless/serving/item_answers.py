"""Answers of a served head for one or several items of a request, each with its own prediction or reason."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.requests import Request

from rawless.answers import Prediction, Result, Results
from rawless.errors import Unavailable
from rawless.privacy import Reason
from rawless.serving.errors import Code, ErrorCode, RequestError
from rawless.serving.item_reader import ItemReader, Items
from rawless.serving.requests import InferenceRequest

_SPARE_SHARE = 0.05
"""Of the time for a request, kept to answer it with the items that are done."""
Predict = Callable[[InferenceRequest], Awaitable[Prediction]]


class ItemAnswers:
    """Answers the requests to one served head."""

    def __init__(self, reader: ItemReader, predict: Predict, seconds: float, count: Callable[[Code], None]) -> None:
        """`seconds` is the time for a request. `count` is called for each item without a prediction."""
        self._reader, self._predict, self._seconds, self._count = reader, predict, seconds, count

    async def answer(self, request: Request) -> Prediction | Results:
        """Return the prediction for the item of a request, or the results for its items.

        Raises RequestError or Unavailable for a request that cannot be read, or whose only item has no prediction.
        """
        items = await self._reader.read(request)
        if isinstance(items, InferenceRequest):
            return await self._predict(items)
        deadline = request.state.deadline - self._seconds * _SPARE_SHARE
        outcomes = await _Batch(self._predict).run(items, deadline - asyncio.get_running_loop().time())
        return Results(results=[self._result(index, outcome) for index, outcome in enumerate(outcomes)])

    def _result(self, index: int, outcome: Prediction | RequestError) -> Result:
        if isinstance(outcome, Prediction):
            return Result(index=index, prediction=outcome)
        self._count(outcome.code)
        return Result(index=index, reason=outcome.code.value, detail=outcome.detail, feature=outcome.feature)


class _Batch:
    """The items of one request in progress, which reach the encoder together."""

    def __init__(self, predict: Predict) -> None:
        self._predict = predict
        self._waiting = self._unfinished = 0
        self._progress = asyncio.Event()

    async def run(self, items: Items, seconds: float) -> list[Prediction | RequestError]:
        """Return the outcome of each item, TOO_SLOW for those that are not done in time."""
        self._unfinished = len(items)
        tasks = [asyncio.create_task(self._outcome(item)) for item in items]
        try:
            await asyncio.wait(tasks, timeout=max(0.0, seconds))
        finally:
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return [RequestError(ErrorCode.TOO_SLOW) if task.cancelled() else task.result() for task in tasks]

    async def _outcome(self, item: InferenceRequest | Code) -> Prediction | RequestError:
        try:
            if not isinstance(item, InferenceRequest):
                return RequestError(item)
            return await self._predict_in_turn(item)
        except RequestError as error:
            return error
        except Unavailable:
            return RequestError(ErrorCode.UNAVAILABLE)
        except Exception:  # noqa: BLE001 - as for a whole request: its text and frames may contain content
            return RequestError(Reason.INTERNAL)
        finally:
            self._unfinished -= 1
            self._progress.set()
            self._progress = asyncio.Event()

    async def _predict_in_turn(self, item: InferenceRequest) -> Prediction:
        """Return the prediction for an item. While the encoder's queue is full of the others, it waits for them."""
        while True:
            try:
                return await self._predict(item)
            except RequestError as error:
                if error.code != ErrorCode.QUEUE_FULL or self._waiting + 1 >= self._unfinished:
                    raise
            self._waiting += 1
            try:
                await self._progress.wait()
            finally:
                self._waiting -= 1

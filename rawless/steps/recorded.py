"""`Recorded`: gives events to encoders so that one which ends this process is known to the next process."""

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from encoders.encoder import Encoded, Encoder
from rawless.privacy import Raw, Reason, Rejected, guarded
from rawless.steps.crash_record import CrashRecord

Outcomes = list["Future[Encoded | Reason]"]
"""One for each encoder."""


class Recorded:
    """Records what encoders have in progress. It is thread-safe."""

    def __init__(self, record: CrashRecord, secret: bytes, encoders: Sequence[Encoder]) -> None:
        self._record = record
        self._secret = secret
        self._encoders = tuple(encoders)

    def submit(self, item: Raw[bytes], submit: Callable[[Raw[bytes]], Outcomes]) -> Outcomes:
        """Return what `submit` returns, or futures of `worker_crashed` for what has ended several processes.

        One that may have ended a process is given to the encoders when they have nothing else.
        """
        place = guarded(self._enter, item)
        if isinstance(place, Reason):
            return [_resolved(place) for _ in self._encoders]
        try:
            outcomes = submit(item)
        except BaseException:
            self._record.leave(place)
            raise
        done = itertools.count(1)  # of which several threads take numbers

        def leave(_: "Future[Encoded | Reason]") -> None:
            if next(done) == len(outcomes):
                self._record.leave(place)

        for outcome in outcomes:
            outcome.add_done_callback(leave)
        return outcomes

    def _enter(self, item: Raw[bytes]) -> int:
        place = self._record.enter(item.reveal(), self._secret, self._check_progress)
        if place is None:
            raise Rejected(Reason.WORKER_CRASHED)
        return place

    def _check_progress(self) -> None:
        for encoder in self._encoders:
            encoder.check_progress()


def _resolved(reason: Reason) -> "Future[Encoded | Reason]":
    outcome: Future[Encoded | Reason] = Future()
    outcome.set_result(reason)
    return outcome

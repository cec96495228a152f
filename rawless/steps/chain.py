"""`Chain`: steps one after the other, in one thread, as a runner without Beam runs them."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from rawless.steps.meter import Meter
from rawless.steps.step import Step
from rawless.warehouse.rows import RejectionRow


class Chain:
    """Runs bundles through steps. Rejections of all steps go to a step of their own, which has no outputs."""

    def __init__(self, steps: Sequence[Step[Any, Any]], rejections: Step[Any, Any]) -> None:
        self._steps = tuple(steps)
        self._rejections = rejections

    def setup(self, meter: Meter) -> None:
        """Set up every step; see `Step.setup`."""
        for step in (*self._steps, self._rejections):
            step.setup(meter)

    def run(self, elements: Iterable[Any]) -> None:
        """Run a bundle. When this returns, its rows are written; what it raises fails the bundle."""
        self._start()
        try:
            for element in elements:
                self._process(0, element)
            for position, step in enumerate(self._steps):
                self._pass_on(position, step.finish())
            _exhaust(self._rejections.finish())
        except BaseException:
            self._start()  # drops what the steps keep: the next bundle may come late, and others need the room
            raise

    def _start(self) -> None:
        for step in (*self._steps, self._rejections):
            step.start()

    def _process(self, position: int, element: Any) -> None:
        if position < len(self._steps):
            self._pass_on(position, self._steps[position].process(element))

    def _pass_on(self, position: int, outputs: Iterable[Any]) -> None:
        for output in outputs:
            if isinstance(output, RejectionRow):
                _exhaust(self._rejections.process(output))
            else:
                self._process(position + 1, output)


def _exhaust(outputs: Iterable[Any]) -> None:
    deque(outputs, maxlen=0)

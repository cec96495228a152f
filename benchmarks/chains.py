"""Chains of the steps of a job, in which no event may be rejected."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from rawless.steps.chain import Chain
from rawless.steps.meter import Meter, NoMeter
from rawless.steps.step import Step
from rawless.warehouse.rows import RejectionRow


class _Refuse(Step[RejectionRow, RejectionRow]):
    output: ClassVar[type[RejectionRow]] = RejectionRow

    def setup(self, meter: Meter) -> None:
        """See `Step.setup`."""

    def process(self, element: RejectionRow) -> Iterator[RejectionRow]:
        """See `Step.process`. Raises SystemExit."""
        raise SystemExit("The benchmark is invalid: an event was rejected.")


class Count(Step[Any, RejectionRow]):
    """A last step, which counts what comes out of the one before."""

    output: ClassVar[type[RejectionRow]] = RejectionRow

    def setup(self, meter: Meter) -> None:
        """See `Step.setup`."""
        self.rows = 0

    def process(self, element: Any) -> Iterator[RejectionRow]:
        """See `Step.process`."""
        self.rows += 1
        yield from ()


def chain_of(*steps: Step[Any, Any]) -> Chain:
    """Return a chain that is set up and records no metrics."""
    chain = Chain(steps, _Refuse())
    chain.setup(NoMeter())
    return chain


def run_counted(steps: Sequence[Step[Any, Any]], bundle: Sequence[Any]) -> int:
    """Run a bundle through new steps, and return the number of outputs of the last one."""
    counted = Count()
    chain_of(*steps, counted).run(bundle)
    return counted.rows

"""`Step`: one step of a job, which whatever runs the job calls for each element of a bundle."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Generic, TypeVar

from rawless.steps.meter import Meter
from rawless.warehouse.rows import RejectionRow

In = TypeVar("In")
Out = TypeVar("Out")


class Step(ABC, Generic[In, Out]):
    """A step from elements to outputs and rejections. It is pickled into jobs before `setup`, so it names things only.

    `setup` is called once in each thread that runs the step; then, for each bundle, `start`, `process` for each
    element, and `finish`. An element may be kept until `finish`, in memory only. What a method raises fails the bundle,
    whose events are delivered again.
    """

    output: ClassVar[type[Any]]
    """The type of the outputs that are no rejections."""

    @abstractmethod
    def setup(self, meter: Meter) -> None:
        """Load what the step needs. Raises UserError or Unavailable."""

    def start(self) -> None:
        """Begin a bundle, and drop what is kept of one that failed."""

    @abstractmethod
    def process(self, element: In) -> Iterator[Out | RejectionRow]:
        """Take one element, and yield the outputs that are ready."""

    def finish(self) -> Iterator[Out | RejectionRow]:
        """Yield the outputs of all elements that were kept."""
        yield from ()

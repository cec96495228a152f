"""`ApplyStep`: a step of `rawless.steps` as a transform of Beam."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindows

from pipelines.beam_meter import BeamMeter
from rawless.steps.step import Step
from rawless.warehouse.rows import RejectionRow

_REJECTED: Literal["rejected"] = "rejected"
_OUTPUTS = "outputs"


class _ApplyStep(beam.DoFn):
    def __init__(self, step: Step[Any, Any]) -> None:
        self._step = step

    def setup(self) -> None:
        self._meter = BeamMeter()
        self._meter.start()
        self._step.setup(self._meter)

    def start_bundle(self) -> None:
        self._step.start()

    def process(self, element: Any) -> Iterator[Any]:
        return _tagged(self._step.process(element))

    def finish_bundle(self) -> Iterator[Any]:
        for output in self._step.finish():
            value = GlobalWindows.windowed_value(output)
            yield TaggedOutput(_REJECTED, value) if isinstance(output, RejectionRow) else value
        self._meter.forward()


def _tagged(outputs: Iterable[Any]) -> Iterator[Any]:
    for output in outputs:
        yield TaggedOutput(_REJECTED, output) if isinstance(output, RejectionRow) else output


class ApplyStep(beam.PTransform):
    """Apply a step. The results are its outputs and its rejections."""

    def __init__(self, step: Step[Any, Any]) -> None:
        super().__init__()
        self._step = step

    def expand(self, elements: beam.PCollection) -> Any:
        """Return the collections of outputs and of rejections."""
        step = beam.ParDo(_ApplyStep(self._step)).with_output_types(self._step.output, **{_REJECTED: RejectionRow})
        outcomes = elements | type(self._step).__name__ >> step.with_outputs(_REJECTED, main=_OUTPUTS)
        return outcomes[_OUTPUTS], outcomes[_REJECTED]

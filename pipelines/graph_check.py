"""The graph check: no step between read and encode may keep or materialise raw content.

It reads the pipeline's proto, which every runner receives, so it sees the steps that composites expand to.
"""

from collections.abc import Collection, Iterator, Mapping

import apache_beam as beam
from apache_beam.coders import Coder
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2 as proto

from pipelines.coders import PlaceCoder, RowCoder
from pipelines.unbounded import reads_by_urn
from rawless.errors import UserError
from rawless.privacy.coder import RefusingCoder

_PARDO = common_urns.primitives.PAR_DO.urn
_FLATTEN = common_urns.primitives.FLATTEN.urn


def check(pipeline: beam.Pipeline) -> None:
    """Raise UserError, which names the step, if raw content passes a step that may keep it."""
    if violation := next(violations(pipeline), None):
        raise UserError(violation)


def violations(pipeline: beam.Pipeline) -> Iterator[str]:
    """Yield a sentence for each step that raw content must not pass.

    A collection is raw if its coder refuses, if it is read from a source of messages, or if it is derived from a raw
    collection and does not consist of rows; so a step without type hints is not overlooked. Content may enter a job
    only by a source of messages, or by a step that reads shards.

    Every runner fuses what passes: Dataflow, Beam's own Python and Java fusers, and Prism put a ParDo into the stage of
    the step before it unless it has state, timers, side inputs or another environment.
    """
    job, context = pipeline.to_runner_api(return_context=True)
    collections = job.components.pcollections
    coders = {key: context.coders.get_by_id(collection.coder_id) for key, collection in collections.items()}
    steps = [step for step in job.components.transforms.values() if not step.subtransforms and step.spec.urn]
    reads = reads_by_urn()
    raw = _raw_collections(steps, coders, reads.keys())
    home = _home_environment(steps, raw)
    for step in steps:
        if (read := reads.get(step.spec.urn)) and (fault := read.find_fault(step.spec.payload)):
            yield f"The step {step.unique_name} {fault}"
        if not raw.isdisjoint(step.inputs.values()):
            if problem := _problem(step, home):
                yield f"The step {step.unique_name} {problem}: no step between read and encode may keep raw content."
        elif (
            not raw.isdisjoint(step.outputs.values()) and step.spec.urn not in reads and not _reads_shards(step, coders)
        ):
            yield (
                f"The step {step.unique_name} makes raw content of elements that a runner may have kept: events come "
                "from the sources of `rawless.events`, whose shards are all that travels before them."
            )


def _reads_shards(step: proto.PTransform, coders: Mapping[str, Coder]) -> bool:
    return step.spec.urn == _PARDO and all(isinstance(coders[key], PlaceCoder) for key in step.inputs.values())


def _problem(step: proto.PTransform, home: str) -> str | None:
    if step.spec.urn == _FLATTEN:
        return "joins raw content, at which some runners end a stage"
    if step.spec.urn != _PARDO:
        return f"materialises raw content ({step.spec.urn})"
    payload = proto.ParDoPayload.FromString(step.spec.payload)
    if payload.state_specs:
        return "keeps raw content in state"
    if payload.timer_family_specs:
        return "sets timers on raw content"
    if payload.side_inputs:
        return "has a side input"
    if payload.restriction_coder_id:
        return "is splittable over raw content"
    if payload.requires_stable_input or payload.requires_time_sorted_input:
        return "requires stable or sorted input, which materialises raw content"
    if step.environment_id != home:
        return "has its own environment or resource hints, which breaks fusion"
    return None


def _home_environment(steps: list[proto.PTransform], raw: set[str]) -> str:
    """Return the environment of the step that first outputs raw content."""
    producers = (step for step in steps if not raw.isdisjoint(step.outputs.values()))
    return next((step.environment_id for step in producers if raw.isdisjoint(step.inputs.values())), "")


def _raw_collections(steps: list[proto.PTransform], coders: dict[str, Coder], read_urns: Collection[str]) -> set[str]:
    raw = {key for key, coder in coders.items() if isinstance(coder, RefusingCoder)}
    raw |= {output for step in steps if step.spec.urn in read_urns for output in step.outputs.values()}
    while True:
        derived = {
            output
            for step in steps
            if not raw.isdisjoint(step.inputs.values())
            for output in step.outputs.values()
            if not isinstance(coders[output], RowCoder)
        }
        if derived <= raw:
            return raw
        raw |= derived

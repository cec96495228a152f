"""The graph check: no step between read and encode may hold or materialise raw content.

It reads the pipeline's proto, the form in which every runner gets the job, so it sees what composites expand to.
"""

from collections.abc import Iterator

import apache_beam as beam
from apache_beam.coders import Coder
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2 as proto

from pipelines.elements import RowCoder
from rawless.errors import UserError
from rawless.privacy.coder import RefusingCoder

_PARDO = common_urns.primitives.PAR_DO.urn
_FLATTEN = common_urns.primitives.FLATTEN.urn
_MESSAGES = common_urns.composites.PUBSUB_READ.urn


def check(pipeline: beam.Pipeline) -> None:
    """Raise UserError naming the first step that raw content may not pass."""
    if fault := next(faults(pipeline), None):
        raise UserError(fault)


def faults(pipeline: beam.Pipeline) -> Iterator[str]:
    """What is wrong with each step that consumes raw content: one sentence a step.

    A collection is raw when its coder refuses, when a source of messages makes it, or when it was made of a raw
    collection and its elements are no rows; so a step without type hints hides nothing.
    """
    job, context = pipeline.to_runner_api(return_context=True)
    coders = {key: context.coders.get_by_id(each.coder_id) for key, each in job.components.pcollections.items()}
    steps = [step for step in job.components.transforms.values() if not step.subtransforms and step.spec.urn]
    raw = _raw_collections(steps, coders)
    home = _home_environment(steps, raw)
    for step in steps:
        if step.spec.urn == _MESSAGES and proto.PubSubReadPayload.FromString(step.spec.payload).id_attribute:
            yield f"The step {step.unique_name} reads with id_label, for which a runner keeps messages: leave it out."
        if not raw.isdisjoint(step.inputs.values()) and (why := _fault(step, home)):
            yield f"The step {step.unique_name} {why}: no step between read and encode may hold raw content."


def _fault(step: proto.PTransform, home: str) -> str | None:
    if step.spec.urn == _FLATTEN:
        return None
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
        return "asks for stable or sorted input, which materialises raw content"
    if step.environment_id != home:
        return "runs in an environment or with resource hints of its own, which breaks fusion"
    return None


def _home_environment(steps: list[proto.PTransform], raw: set[str]) -> str:
    """The environment of the step that first makes raw content."""
    makers = (step for step in steps if not raw.isdisjoint(step.outputs.values()))
    return next((step.environment_id for step in makers if raw.isdisjoint(step.inputs.values())), "")


def _raw_collections(steps: list[proto.PTransform], coders: dict[str, Coder]) -> set[str]:
    raw = {key for key, coder in coders.items() if isinstance(coder, RefusingCoder)}
    raw |= {output for step in steps if step.spec.urn == _MESSAGES for output in step.outputs.values()}
    while True:
        made = {
            output
            for step in steps
            if not raw.isdisjoint(step.inputs.values())
            for output in step.outputs.values()
            if not isinstance(coders[output], RowCoder)
        }
        if made <= raw:
            return raw
        raw |= made

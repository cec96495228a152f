"""The graph check, the refusing coder at run time, and the Dataflow request rendered offline."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.coders import BytesCoder, registry
from apache_beam.io.gcp.pubsub import ReadFromPubSub
from apache_beam.runners.dataflow.internal import apiclient
from apache_beam.transforms import environments
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import FixedWindows

from encoders.spec import EncoderSpec
from pipelines import graph_check, options
from pipelines.coders import Place
from pipelines.ingest import Ingest
from pipelines.read import Read
from pipelines.step import ApplyStep
from rawless.errors import UserError
from rawless.events.event import Delivery
from rawless.events.lines import Shard
from rawless.events.sources.pubsub import Subscription
from rawless.privacy import Raw, Reason
from rawless.steps.parse import Parse
from rawless.warehouse.client import Warehouse
from tests.warehouse_pool import WarehousePool

Job = Callable[..., Ingest]
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def warehouse(warehouses: WarehousePool) -> Iterator[Warehouse]:
    """One for all tests, which look at graphs and not at rows."""
    taken = warehouses.take()
    yield taken
    warehouses.give_back(taken)


class _Stateful(beam.DoFn):
    BAG = BagStateSpec("bag", BytesCoder())

    def process(self, element: tuple[str, object], bag: object = beam.DoFn.StateParam(BAG)) -> Iterator[object]:
        yield element[1]


class _Timed(beam.DoFn):
    TIMER = TimerSpec("timer", TimeDomain.REAL_TIME)

    def process(self, element: tuple[str, object], timer: object = beam.DoFn.TimerParam(TIMER)) -> Iterator[object]:
        yield element[1]

    @on_timer(TIMER)
    def fired(self) -> None:
        return


def _keyed(element: object) -> tuple[str, object]:
    return "", element


def _itself(element: object) -> object:
    return element


def _with(element: object, others: list[int]) -> object:
    return element


class _WithSideInput(beam.PTransform):
    def expand(self, elements: beam.PCollection) -> beam.PCollection:
        other = elements.pipeline | beam.Create([1])
        return elements | beam.Map(_with, beam.pvalue.AsList(other))


class _WithResourceHint(beam.PTransform):
    def expand(self, elements: beam.PCollection) -> beam.PCollection:
        return elements | beam.Map(_itself).with_resource_hints(min_ram="1GB")


BETWEEN = {
    "a reshuffle": beam.Reshuffle(),
    "a group by key": beam.Map(_keyed) | beam.WindowInto(FixedWindows(60)) | beam.GroupByKey(),
    "batches in state": beam.BatchElements(max_batch_duration_secs=1),
    "state": beam.Map(_keyed) | beam.ParDo(_Stateful()),
    "a timer": beam.Map(_keyed) | beam.ParDo(_Timed()),
    "a side input": _WithSideInput(),
    "a resource hint": _WithResourceHint(),
}


def _delivery(element: object) -> Delivery:
    raise NotImplementedError


def _typed(step: Callable[[Any], object]) -> beam.PTransform:
    return beam.Map(step).with_output_types(Delivery)


ORIGINS = {
    "content in the graph": beam.Create([b"content"]) | _typed(_delivery),
    "an impulse": beam.Impulse() | _typed(_delivery),
    "Beam's reader of lines": beam.io.ReadFromText("lines.txt", validate=False) | _typed(_delivery),
    "Beam's reader of whole files": beam.Create(["*.txt"]) | beam.io.ReadAllFromText() | _typed(_delivery),
    "grouped content": beam.Create([("a", b"content")]) | beam.GroupByKey() | _typed(_delivery),
    "reshuffled content": beam.Create([b"content"]) | beam.Reshuffle() | _typed(_delivery),
}
"""What brings content into a job by another way than a source of events."""


SUBSCRIPTION = Subscription("projects/local-dev/subscriptions/message")


def _spoiled(job: Ingest, between: beam.PTransform) -> beam.Pipeline:
    pipeline = beam.Pipeline(options=options.parse([]))
    deliveries = pipeline | "Read" >> Read("message", job.source)
    events, _ = deliveries | "Parse" >> ApplyStep(Parse(job.stream, job.key))
    events | "Between" >> between
    return pipeline


@pytest.mark.parametrize("streaming", [False, True])
def test_the_ingest_job_passes_the_check(streaming: bool, job: Job, write_events: Write) -> None:
    ingest = job(write_events({}))
    pipeline = beam.Pipeline(options=options.parse([], streaming=streaming))
    (replace(ingest, source=SUBSCRIPTION) if streaming else ingest).build(pipeline)

    assert list(graph_check.violations(pipeline)) == []


def test_the_streaming_job_and_the_batch_job_share_every_step_but_the_first(job: Job, write_events: Write) -> None:
    batch, streaming = (
        beam.Pipeline(options=options.parse([])),
        beam.Pipeline(options=options.parse([], streaming=True)),
    )
    ingest = job(write_events({}))
    ingest.build(batch)
    replace(ingest, source=SUBSCRIPTION).build(streaming)

    assert _steps(batch) - _steps(streaming) == {"Read/Start", "Read/Shards", "Read/Spread"}
    assert _steps(streaming) - _steps(batch) == {"Read/Messages"}


def _steps(pipeline: beam.Pipeline) -> set[str]:
    names = (step.unique_name for step in pipeline.to_runner_api().components.transforms.values())
    return {"/".join(name.split("/")[:2]) for name in names}


@pytest.mark.parametrize("source", ["lines", "messages"])
@pytest.mark.parametrize("name", BETWEEN)
def test_a_step_that_would_keep_raw_content_is_refused(name: str, source: str, job: Job, write_events: Write) -> None:
    ingest = job(write_events({}))
    spoiled = _spoiled(ingest if source == "lines" else replace(ingest, source=SUBSCRIPTION), BETWEEN[name])

    with pytest.raises(UserError, match=r"^The step Between.*no step between read and encode may keep raw content"):
        graph_check.check(spoiled)


@pytest.mark.parametrize("with_attributes", [True, False])
@pytest.mark.parametrize("name", BETWEEN)
def test_messages_are_raw_as_soon_as_they_are_read(name: str, with_attributes: bool) -> None:
    pipeline = beam.Pipeline(options=options.parse([], streaming=True))
    read = ReadFromPubSub(subscription=SUBSCRIPTION.name, with_attributes=with_attributes)
    pipeline | read | "Between" >> BETWEEN[name]

    with pytest.raises(UserError, match=r"^The step Between.*no step between read and encode may keep raw content"):
        graph_check.check(pipeline)


@pytest.mark.parametrize("name", ORIGINS)
def test_content_that_no_source_of_events_read_is_refused(name: str, job: Job, write_events: Write) -> None:
    ingest = job(write_events({}))
    pipeline = beam.Pipeline(options=options.parse([]))
    pipeline | "Elsewhere" >> ORIGINS[name] | "Parse" >> ApplyStep(Parse(ingest.stream, ingest.key))

    with pytest.raises(UserError, match=r"^The step Elsewhere.* makes raw content of elements that a runner may have"):
        graph_check.check(pipeline)


def test_deliveries_cannot_be_put_into_the_graph() -> None:
    with pytest.raises(TypeError, match="raw content refuses to be encoded"):
        beam.Pipeline(options=options.parse([])) | beam.Create([Delivery("1", Reason.INTERNAL, 0)])


def test_two_sources_are_not_joined(job: Job, write_events: Write) -> None:
    ingest = job(write_events({}))
    pipeline = beam.Pipeline(options=options.parse([]))
    sources = [pipeline | f"Read{number}" >> Read("message", ingest.source) for number in range(2)]
    sources | "Join" >> beam.Flatten() | "Parse" >> ApplyStep(Parse(ingest.stream, ingest.key))

    with pytest.raises(UserError, match=r"^The step Join joins raw content, at which some runners end a stage"):
        graph_check.check(pipeline)


@pytest.mark.parametrize("content", [b"content", "x" * 3_000, Raw(b"content"), {"event_id": "e"}, ["e"]])
def test_a_shard_that_could_carry_content_does_not_travel(content: object) -> None:
    with pytest.raises(TypeError, match="a shard must consist of numbers, times and names"):
        registry.get_coder(Place).encode(Place((content, 1)))


def test_a_shard_travels_whole() -> None:
    place, coder = Place(Shard(4, 1, 1_000)), registry.get_coder(Place)

    assert coder.decode(coder.encode(place)) == place


def test_reading_with_an_id_label_is_refused() -> None:
    pipeline = beam.Pipeline(options=options.parse([], streaming=True))
    pipeline | "Messages" >> ReadFromPubSub(subscription=SUBSCRIPTION.name, id_label="event_id")

    with pytest.raises(UserError, match=r"^The step Messages.* reads with id_label"):
        graph_check.check(pipeline)


def test_a_reshuffle_between_read_and_encode_fails_the_run_too(
    job: Job, write_events: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    pipeline = _spoiled(job(write_events({"text": "MARKER-IN-A-SHUFFLE"})), beam.Reshuffle())

    with pytest.raises(Exception, match="raw content refuses to be encoded") as failure:
        pipeline.run()

    assert "MARKER" not in str(failure.value)
    assert "MARKER" not in "".join(capfd.readouterr())


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize("mode", ["in_memory", pytest.param("multi_processing", marks=pytest.mark.full)])
def test_two_stages_of_the_runner_carry_only_shards_and_rows(
    mode: str, job: Job, write_events: Write, tiny_sealed: EncoderSpec
) -> None:
    """The coder of raw elements never runs in the unchanged job: everything between read and write is fused."""
    pipeline = beam.Pipeline(options=options.parse([f"--direct_running_mode={mode}"]))
    job(write_events({}, {"text": ""}), encoders=(tiny_sealed,)).build(pipeline)

    pipeline.run().wait_until_finish()


@pytest.mark.parametrize("streaming", [False, True])
def test_the_dataflow_request_disables_exception_sampling(streaming: bool, job: Job, write_events: Write) -> None:
    arguments = ["--runner=DataflowRunner", "--project=a-project", "--region=europe-west4", "--temp_location=gs://b/t"]
    dataflow = options.parse([*arguments, "--sdk_container_image=an-image"], streaming=streaming)
    pipeline = beam.Pipeline(options=options.parse([]))
    ingest = job(write_events({}))
    (replace(ingest, source=SUBSCRIPTION) if streaming else ingest).build(pipeline)
    graph_proto = pipeline.to_runner_api(
        default_environment=environments.DockerEnvironment.from_container_image("an-image")
    )

    request = apiclient.Environment([], dataflow, "1", "gs://b/pipeline.pb", graph_proto)

    assert "disable_always_on_exception_sampling" in request.proto.experiments
    assert not any("data_sampling" in experiment for experiment in request.proto.experiments)

"""Promise 1 for `rawless predict`: a marker in any place of an event is found nowhere, also where the head fails."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from encoders.spec import EncoderSpec
from pipelines import graph_check, options
from rawless.audit.search import Trace
from rawless.events.sources import open_bounded_source
from rawless.events.stream import Stream
from rawless.prediction import predict
from rawless.prediction.chosen_head import ChosenHead, Vectors, read_head
from rawless.prediction.jobs import PredictEvents
from rawless.privacy.pseudonyms import KeySource
from rawless.serving.rules import Rules
from rawless.warehouse.client import Warehouse
from tests.audit.test_no_escape import MARKER, _everywhere
from tests.drawn_heads import write_head

Job = Callable[..., PredictEvents]


@pytest.fixture
def job(
    key: KeySource, stream: Stream, warehouse: Warehouse, write_events: Callable[..., Path], tiny_sealed: EncoderSpec,
    tmp_path: Path,
) -> Job:  # fmt: skip
    def make(*events: dict[str, Any] | bytes) -> PredictEvents:
        write_head(tmp_path / "heads", "topic", spec=tiny_sealed)
        vectors = Vectors(tiny_sealed.ref, tiny_sealed.fingerprint, tiny_sealed.space)
        head = ChosenHead(read_head(tmp_path / "heads", "topic", 1), vectors)
        source = open_bounded_source(f"jsonl:{write_events(*events)}", stream)
        return PredictEvents(stream, source, tiny_sealed, head, Rules(), key, warehouse, "cpu")

    return make


@pytest.mark.parametrize(
    "beam", [(), pytest.param(("--direct_running_mode=multi_processing",), marks=pytest.mark.full)], ids=str
)
def test_no_marker_escapes_however_an_event_is_broken(
    beam: tuple[str, ...], job: Job, searched: Callable[..., set[Trace]], warehouse: Warehouse
) -> None:
    events = list(_everywhere())

    assert searched(job(*events), [MARKER.encode()], beam) == set()
    rows = "(SELECT COUNT(*) FROM prediction_v1) + (SELECT COUNT(*) FROM rejection_v1)"
    assert warehouse.query(f"SELECT {rows} AS n") == [{"n": len(events)}]
    assert warehouse.query("SELECT COUNT(*) AS n FROM prediction_v1")[0]["n"] > 3
    assert warehouse.query("SELECT COUNT(*) AS n FROM embedding_event_v1") == [{"n": 0}]


def test_no_marker_escapes_from_a_head_that_raises_what_it_sees(
    job: Job, searched: Callable[..., set[Trace]], warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(step: Any, *arguments: Any) -> Any:
        raise KeyError(arguments, vars(step))

    monkeypatch.setattr(predict.Predict, "_predict", raises)

    assert searched(job({"text": MARKER}), [MARKER.encode()]) == set()
    assert warehouse.query("SELECT COUNT(*) AS n FROM prediction_v1") == [{"n": 0}]


def test_the_graph_check_sees_no_step_that_may_keep_content(job: Job) -> None:
    import apache_beam as beam

    pipeline = beam.Pipeline(options=options.parse([]))
    job({}).build(pipeline)
    assert list(graph_check.violations(pipeline)) == []

"""A head over a source of events: as a service would answer, without storing content or embeddings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from encoders.encoder import Encoded
from encoders.load import load
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.events.sources import open_bounded_source
from rawless.events.stream import Stream
from rawless.heads import deployment
from rawless.heads.artefact import read
from rawless.heads.domain import Domain, FittedDomain
from rawless.heads.session import open_head
from rawless.prediction.prepare import PreparedPrediction, prepare_events
from rawless.prediction.request import PredictRequest
from rawless.privacy import Raw
from rawless.serving.classification import call_head
from rawless.warehouse.client import Warehouse
from tests.drawn_heads import write_head
from tests.prediction.conftest import Rows, probabilities, stored

TEXTS = ("Where is my parcel?", "The app crashes", "I paid twice", "Close my account")
Prepare = Callable[..., PreparedPrediction]


@pytest.fixture
def prepare(own_warehouse: Warehouse, tiny_stream: Stream, heads: Path) -> Prepare:
    def make(path: Path, head: str = "topic@1", stream: Stream = tiny_stream, **fields: Any) -> PreparedPrediction:
        source = open_bounded_source(f"jsonl:{path}", stream)
        return prepare_events(PredictRequest(head, heads=heads, **fields), stream, source, "cpu")

    return make


def vector(spec: EncoderSpec, text: str) -> Any:
    (encoded,) = load(spec, "cpu").encode([Raw(text.encode())])
    assert isinstance(encoded, Encoded)
    return encoded.vector


def test_each_event_gets_the_prediction_that_a_service_would_give_and_no_embedding(
    prepare: Prepare,
    write_events: Callable[..., Path],
    tiny_sealed: EncoderSpec,
    heads: Path,
    warehouse: Warehouse,
    predictions: Rows,
) -> None:
    write_head(heads, "topic", spec=tiny_sealed)
    path = write_events(
        *({"event_id": f"e-{number}", "text": text} for number, text in enumerate(TEXTS)),
        {"event_id": "empty", "text": ""},
        b"no json",
    )

    summary = prepare(path).run()

    found, head = predictions(), open_head(heads / "topic" / "1")
    assert (summary["read"], summary["predictions"], summary["abstentions"]) == (6, 4, {})
    assert summary["rejections"] == {"empty_text": 1, "malformed_event": 1}
    assert found.keys() == {f"e-{number}" for number in range(len(TEXTS))}
    for number, text in enumerate(TEXTS):
        row, answer = found[f"e-{number}"], call_head(head, vector(tiny_sealed, text), {})
        assert probabilities(row) == pytest.approx(answer.probabilities, abs=1e-6)
        assert (row["stream"], row["head"], row["version"], row["caller_key"]) == ("message", "topic", 1, None)
        assert len(row["subject_key"]) == 64
    assert stored(warehouse, "embedding_event_v1") == 0
    assert stored(warehouse, "rejection_v1") == 2


def test_a_second_run_is_not_counted_twice(
    prepare: Prepare, write_events: Callable[..., Path], tiny_sealed: EncoderSpec, heads: Path, predictions: Rows,
    warehouse: Warehouse,
) -> None:  # fmt: skip
    write_head(heads, "topic", spec=tiny_sealed)
    path = write_events({"event_id": "e-1"})
    prepare(path).run()
    first = predictions()

    prepare(path).run()

    assert stored(warehouse, "prediction_v1") == 2
    assert predictions() == first


def test_what_is_out_of_domain_or_uncertain_is_an_abstention_with_its_reason(
    prepare: Prepare, write_events: Callable[..., Path], tiny_sealed: EncoderSpec, heads: Path, predictions: Rows
) -> None:
    known = [vector(tiny_sealed, text) for text in TEXTS]
    module = Domain(tiny_sealed.dimension, 1)
    module.fit(torch.from_numpy(np.stack(known)), torch.zeros(len(known), dtype=torch.long))
    far, near = (float(module(torch.from_numpy(vector(tiny_sealed, text)[None]))) for text in ("dog dog", TEXTS[0]))
    threshold = (far + near) / 2
    assert near < threshold < far
    write_head(heads, "topic", spec=tiny_sealed, domain=FittedDomain(module, threshold, 0.9))
    path = write_events({"event_id": "far", "text": "dog dog"}, {"event_id": "near", "text": TEXTS[0]})

    summary = prepare(path).run()
    assert summary["abstentions"] == {"out_of_domain": 1}
    assert {name: row["abstention"] for name, row in predictions().items()} == {"far": "out_of_domain", "near": None}
    assert predictions()["far"]["probabilities"] == []

    certain = prepare(path, minimum_confidence=1.0).run()
    assert certain["abstentions"] == {"low_confidence": 1, "out_of_domain": 1}


def test_a_head_takes_the_vector_without_noise_as_in_a_service(
    prepare: Prepare, write_events: Callable[..., Path], tiny_noisy: EncoderSpec, tiny_stream: Stream, heads: Path,
    predictions: Rows, tmp_path: Path,
) -> None:  # fmt: skip
    write_head(heads, "topic", spec=tiny_noisy)
    (tmp_path / "noisy.yaml").write_text(tiny_noisy.model_dump_json())
    stream = tiny_stream.model_copy(update={"encoders": (str(tmp_path / "noisy.yaml"),)})

    prepare(write_events(*({"event_id": f"e-{number}"} for number in range(3))), stream=stream).run()

    first, *others = (probabilities(row) for row in predictions().values())
    assert all(other == pytest.approx(first, abs=1e-6) for other in others)


def test_a_name_means_the_deployed_version_and_of_several_encoders_the_one_that_fits(
    prepare: Prepare, write_events: Callable[..., Path], tiny_sealed: EncoderSpec, tiny_stream: Stream, heads: Path,
) -> None:  # fmt: skip
    for version in (1, 2):
        write_head(heads, "topic", version, spec=tiny_sealed)
    migrating = tiny_stream.model_copy(update={"encoders": ("minilm@1.0.0", *tiny_stream.encoders)})
    path = write_events({})
    with pytest.raises(UserError, match=r"The head topic is not deployed in .*: name a version, as in topic@1"):
        prepare(path, "topic")

    deployment.deploy(heads, "topic", 2)

    job = prepare(path, "topic", stream=migrating)
    assert (job.head.ref, job.head.vectors.encoder) == ("topic@2", tiny_sealed.ref)
    assert [spec.ref for spec in (job.job.encoder,)] == [tiny_sealed.ref]  # type: ignore[union-attr]


def test_a_name_that_is_live_for_two_encoders_of_the_stream_is_refused(
    prepare: Prepare, write_events: Callable[..., Path], tiny_sealed: EncoderSpec, tiny_stream: Stream, heads: Path,
) -> None:  # fmt: skip
    write_head(heads, "topic", 1, spec=tiny_sealed)
    write_head(heads, "topic", 2)
    for version in (1, 2):
        deployment.deploy(heads, "topic", version, new_layout=True)
    both = tiny_stream.model_copy(update={"encoders": ("minilm@1.0.0", *tiny_stream.encoders)})
    with pytest.raises(UserError, match=r"deployed for several encoders, topic@2 for minilm@1.0.0 and topic@1 for"):
        prepare(write_events({}), "topic", stream=both)


def test_heads_that_have_no_prediction_for_an_event_are_refused(
    prepare: Prepare, write_events: Callable[..., Path], tiny_sealed: EncoderSpec, heads: Path
) -> None:
    from tests.heads.test_features import SETS

    path = write_events({})
    write_head(heads, "pairs", spec=tiny_sealed, kind="pair")
    write_head(heads, "price", spec=tiny_sealed, kind="number")
    write_head(heads, "plans", spec=tiny_sealed, features=SETS["both"])
    write_head(heads, "other")
    for head, message in {
        "pairs@1": "pairs@1 relates two vectors",
        "price@1": "price@1 predicts a number, and prediction_v1 has probabilities of classes only",
        "plans@1": "plans@1 takes the features .*use --snapshot",
        "other@1": r"other@1 takes vectors of minilm@1\.0\.0 with the fingerprint .*, but these are of tiny@1\.0\.0",
        "none@1": r"There is no none@1 in .*rawless head list",
        "../x@1": r"'\.\./x@1' is no head: name one as in topic",
    }.items():
        with pytest.raises(UserError, match=message):
            prepare(path, head)


def test_workers_elsewhere_get_only_what_they_can_read(
    prepare: Prepare, write_events: Callable[..., Path], tiny_sealed: EncoderSpec, heads: Path
) -> None:
    write_head(heads, "topic", spec=tiny_sealed)
    assert read(heads / "topic" / "1").manifest.classes
    with pytest.raises(UserError, match="Workers elsewhere cannot reach the local stack"):
        prepare(write_events({}), beam=["--runner=DataflowRunner"])

"""Encoding texts: correct vectors and reasons, and bad items that do not affect others."""

import json
import logging
import random
import re
import threading
import time
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, BertModel

from encoders import weights
from encoders.batch_encoder import BatchEncoder
from encoders.bisect_batch import OutOfMemory
from encoders.encoder import Encoded, Encoder
from encoders.load import build
from encoders.spec import EncoderSpec
from rawless.errors import Unavailable
from rawless.privacy import Raw, Reason

MakeSpec = Callable[..., EncoderSpec]
MARK = "zebra9131"


def encode(encoder: Encoder, *contents: str | bytes) -> list[Encoded | Reason]:
    return encoder.encode([Raw(each.encode() if isinstance(each, str) else each) for each in contents])


def vector(outcome: Encoded | Reason) -> npt.NDArray[np.float32]:
    assert isinstance(outcome, Encoded), outcome
    return outcome.vector


def close(one: Encoded | Reason, other: Encoded | Reason, tolerance: float) -> bool:
    """Return whether two outcomes are the same reason, or vectors within the tolerance."""
    if isinstance(one, Reason) or isinstance(other, Reason):
        return one is other
    return one.truncated == other.truncated and float(np.abs(one.vector - other.vector).max()) <= tolerance


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Texts of 1 to 600 words, most of them short, as messages are."""
    import pydoc_data.topics

    words = re.findall(r"\S+", " ".join(pydoc_data.topics.topics.values()))
    choose = random.Random(20261101)
    counts = [*range(1, 17)] * 10 + [round(17 + step * 583 / 15) for step in range(16)]
    assert (len(counts), min(counts), max(counts)) == (176, 1, 600)
    choose.shuffle(counts)
    return [" ".join(choose.choices(words, k=count)) for count in counts]


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::DeprecationWarning:sentence_transformers")
def test_vectors_equal_those_of_sentence_transformers(minilm: Encoder, texts: list[str]) -> None:
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(weights.find(minilm.spec)), device="cpu", local_files_only=True)
    expected = reference.encode(texts, batch_size=16, normalize_embeddings=True, show_progress_bar=False)
    outcomes = encode(minilm, *texts)
    cosines = np.array([vector(each) @ reference for each, reference in zip(outcomes, expected, strict=True)])
    assert cosines.min() >= 0.99999
    assert sum(isinstance(each, Encoded) and each.truncated for each in outcomes) >= 10


def test_exactly_the_texts_that_were_cut_are_reported_as_truncated(minilm: Encoder, texts: list[str]) -> None:
    chosen = [text for text in texts if text.count(" ") > 50] + texts[:20]
    tokenizer = AutoTokenizer.from_pretrained(weights.find(minilm.spec))
    counts = [len(ids) for ids in tokenizer(chosen, truncation=False, verbose=False)["input_ids"]]
    truncated = [isinstance(each, Encoded) and each.truncated for each in encode(minilm, *chosen)]
    assert truncated == [count > 256 for count in counts]
    assert True in truncated
    assert False in truncated


@pytest.mark.parametrize(("words", "cut"), [(254, False), (255, True)])
def test_the_limit_counts_the_special_tokens(minilm: Encoder, words: int, cut: bool) -> None:
    (outcome,) = encode(minilm, "cat " * words)
    assert isinstance(outcome, Encoded)
    assert outcome.truncated is cut


def test_text_beyond_the_limit_does_not_change_the_vector(minilm: Encoder) -> None:
    one, other = encode(minilm, "cat " * 254 + "dog " * 9, "cat " * 254 + "bird " * 300)
    assert close(one, other, minilm.spec.tolerance)


def test_vectors_are_float32_of_the_specs_dimension_and_length_one(minilm: Encoder) -> None:
    for outcome in encode(minilm, "a", "Where is my parcel?", "cat " * 300):
        assert vector(outcome).dtype == np.float32
        assert vector(outcome).shape == (384,)
        assert np.linalg.norm(vector(outcome)) == pytest.approx(1, abs=1e-5)


def test_similar_texts_have_similar_vectors(minilm: Encoder) -> None:
    parcel, where, cat = map(vector, encode(minilm, "Where is my parcel?", "My package never came.", "Cats purr."))
    assert parcel @ where > parcel @ cat + 0.2


POOL: list[bytes] = [
    b"Where is my parcel?",
    b"I paid twice for it, please send the second amount back to my card.",
    b"ok",
    "Zoë paid £3.50 at 東京 😀".encode(),
    b"cat " * 40,
    b"dog " * 300,
    b"",
    b"\xff\xfe",
    b"bad\0text",
    "\u200b\u200b".encode(),
]


@pytest.fixture(scope="session")
def alone(minilm: Encoder) -> list[Encoded | Reason]:
    """The outcome of each item of the pool in a batch of one."""
    return [encode(minilm, each)[0] for each in POOL]


@settings(max_examples=25, deadline=None)
@given(positions=st.lists(st.integers(0, len(POOL) - 1), max_size=14))
def test_vectors_do_not_depend_on_order_or_batch(
    minilm: Encoder, alone: list[Encoded | Reason], positions: list[int]
) -> None:
    outcomes = encode(minilm, *(POOL[position] for position in positions))
    assert len(outcomes) == len(positions)
    for position, outcome in zip(positions, outcomes, strict=True):
        assert close(outcome, alone[position], minilm.spec.tolerance), position


def test_threads_may_share_an_encoder(minilm: Encoder, alone: list[Encoded | Reason]) -> None:
    found: dict[int, list[Encoded | Reason]] = {}

    def work(number: int) -> None:
        found[number] = encode(minilm, *POOL[number:], *POOL[:number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    for number in range(4):
        expected = alone[number:] + alone[:number]
        pairs = zip(found[number], expected, strict=True)
        assert all(close(one, other, minilm.spec.tolerance) for one, other in pairs)


def test_encoding_no_items_returns_no_outcomes(minilm: Encoder) -> None:
    assert minilm.encode([]) == []


BAD = [
    (b"\xff", Reason.INVALID_UTF8),
    (b"caf\xe9", Reason.INVALID_UTF8),
    (b"\xed\xa0\x80", Reason.INVALID_UTF8),  # a lone surrogate
    (b"\xc0\xaf", Reason.INVALID_UTF8),  # an overlong spelling
    ("text".encode("utf-16"), Reason.INVALID_UTF8),
    (b"nul\0inside", Reason.FORBIDDEN_CHARACTERS),
    (b"\0", Reason.FORBIDDEN_CHARACTERS),
    (b"", Reason.EMPTY_TEXT),
    (b" \t\r\n", Reason.EMPTY_TEXT),
    ("\u00a0\u2003\u3000".encode(), Reason.EMPTY_TEXT),
    ("\u200b".encode(), Reason.EMPTY_TEXT),  # zero width alone: no token is left
    (b"\x01\x02", Reason.EMPTY_TEXT),
]


@pytest.mark.parametrize(("content", "reason"), BAD, ids=lambda each: repr(each)[:20])
def test_a_bad_item_is_rejected_and_its_neighbours_are_encoded(
    minilm: Encoder, alone: list[Encoded | Reason], content: bytes, reason: Reason
) -> None:
    first, bad, last = encode(minilm, POOL[0], content, POOL[1])
    assert bad is reason
    assert close(first, alone[0], minilm.spec.tolerance)
    assert close(last, alone[1], minilm.spec.tolerance)


def test_reasons_are_in_the_order_of_the_items(minilm: Encoder) -> None:
    assert encode(minilm, *(content for content, _ in BAD)) == [reason for _, reason in BAD]


@pytest.mark.parametrize(
    "content",
    ["a", "😀", "\u202e‮abc", "\ufeffhello", "[CLS] [SEP] [PAD] [MASK]", "a" * 5000, "\U0010ffff", "e\u0301" * 50, "ﷺ"],
    ids=ascii,
)
def test_an_unusual_but_valid_text_has_a_vector(minilm: Encoder, content: str) -> None:
    assert np.isfinite(vector(encode(minilm, content)[0])).all()


def test_a_text_of_megabytes_is_truncated(minilm: Encoder) -> None:
    (outcome,) = encode(minilm, "where is my parcel " * 120_000)
    assert isinstance(outcome, Encoded)
    assert outcome.truncated


def test_tokenizing_a_text_of_megabytes_does_not_block_other_threads(minilm: Encoder) -> None:
    outcome = minilm.submit(Raw(b"where is my parcel " * 120_000))
    longest, before = 0.0, time.monotonic()
    while not outcome.done():
        time.sleep(0.001)
        longest, before = max(longest, time.monotonic() - before), time.monotonic()

    assert isinstance(outcome.result(), Encoded)
    assert longest < 0.5


class Failing:
    """A runtime that raises, or returns NaN, for batches that contain the marked item (or for all batches)."""

    name = "failing"

    def __init__(
        self, encoder: BatchEncoder[Any], fault: Callable[[], Exception] | None, mark: str | None = MARK
    ) -> None:
        self._runtime = encoder._runtime
        self._ids = encoder._model._tokenizer.encode(mark, add_special_tokens=False).ids if mark else []
        self._fault = fault

    def __call__(self, *inputs: torch.Tensor) -> npt.NDArray[np.float32]:
        rows = [self._marked(row) for row in inputs[0].tolist()]
        if any(rows) and self._fault is not None:
            raise self._fault()
        vectors = self._runtime(*inputs)
        vectors[rows] = float("nan")
        return vectors

    def _marked(self, row: list[int]) -> bool:
        width = len(self._ids)
        return any(row[start : start + width] == self._ids for start in range(len(row)))


GOOD = ["where is my parcel", "cat dog bird", "paid for two cats", "is it my dog?", "bird", "two dogs", "my cat is"]


def with_marked(at: int) -> list[str]:
    return [*GOOD[:at], f"{MARK} is secret", *GOOD[at:]]


@pytest.mark.parametrize("at", range(8))
def test_an_item_for_which_the_model_raises_fails_alone(tiny_encoder: BatchEncoder[Any], at: int) -> None:
    before = encode(tiny_encoder, *GOOD)
    tiny_encoder._runtime = Failing(tiny_encoder, lambda: ValueError(f"cannot encode: {MARK} is secret"))
    outcomes = encode(tiny_encoder, *with_marked(at))
    assert outcomes.pop(at) is Reason.ENCODER_FAILED
    assert all(close(one, other, 1e-5) for one, other in zip(outcomes, before, strict=True))


@pytest.mark.parametrize("fault", [RuntimeError, KeyError, IndexError, AssertionError, UnicodeError, StopIteration])
def test_any_exception_of_the_model_is_a_reason(tiny_encoder: BatchEncoder[Any], fault: type[Exception]) -> None:
    tiny_encoder._runtime = Failing(tiny_encoder, lambda: fault(f"quotes {MARK}"))
    assert encode(tiny_encoder, *with_marked(3))[3] is Reason.ENCODER_FAILED


def test_no_content_of_a_failing_item_is_logged_or_printed(
    tiny_encoder: BatchEncoder[Any], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    def fault() -> Exception:
        logging.getLogger("some.library").error("bad input %s", MARK)
        return ValueError(f"quotes {MARK}")

    caplog.set_level(logging.DEBUG)
    tiny_encoder._runtime = Failing(tiny_encoder, fault)
    outcomes = encode(tiny_encoder, *with_marked(2))
    written = capfd.readouterr()
    for text in (repr(outcomes), caplog.text, written.out, written.err):
        assert MARK not in text
    assert "withheld" in caplog.text


def test_the_error_of_a_failing_encoder_contains_no_content(tiny_encoder: BatchEncoder[Any]) -> None:
    tiny_encoder._runtime = Failing(tiny_encoder, lambda: ValueError(f"quotes {MARK}"), mark=None)
    with pytest.raises(Unavailable) as caught:
        encode(tiny_encoder, f"{MARK} is secret")
    error: BaseException | None = caught.value
    while error is not None:
        assert MARK not in repr(error)
        error = error.__context__


def test_an_item_for_which_the_tokenizer_raises_fails_alone(tiny_encoder: BatchEncoder[Any]) -> None:
    before, real = encode(tiny_encoder, *GOOD), tiny_encoder._model._tokenizer

    class Raising:
        def encode_batch_fast(self, texts: list[str]) -> Any:
            if MARK in texts[0]:
                raise ValueError(texts)
            return real.encode_batch_fast(texts)

    tiny_encoder._model._tokenizer = Raising()
    outcomes = encode(tiny_encoder, *with_marked(3))
    assert outcomes.pop(3) is Reason.ENCODER_FAILED
    assert all(close(one, other, 1e-5) for one, other in zip(outcomes, before, strict=True))


def test_an_encoder_that_fails_for_its_probe_too_is_unavailable(tiny_encoder: BatchEncoder[Any]) -> None:
    tiny_encoder._runtime = Failing(tiny_encoder, lambda: RuntimeError("device lost"), mark=None)
    with pytest.raises(Unavailable, match=r"tiny@1\.0\.0 fails for its own probe too"):
        encode(tiny_encoder, *GOOD)


def test_a_non_finite_vector_is_a_reason_and_does_not_affect_its_neighbours(
    tiny_encoder: BatchEncoder[Any],
) -> None:
    before = encode(tiny_encoder, *GOOD)
    tiny_encoder._runtime = Failing(tiny_encoder, None)
    outcomes = encode(tiny_encoder, *with_marked(4))
    assert outcomes.pop(4) is Reason.NON_FINITE_EMBEDDING
    assert all(close(one, other, 1e-5) for one, other in zip(outcomes, before, strict=True))


def test_an_encoder_whose_probe_is_no_longer_finite_is_unavailable(tiny_encoder: BatchEncoder[Any]) -> None:
    # The device is broken: no item causes the failure, so none may be rejected.
    tiny_encoder._runtime = Failing(tiny_encoder, None, mark=None)
    with pytest.raises(Unavailable, match=r"tiny@1\.0\.0"):
        encode(tiny_encoder, *GOOD)


MEMORY_FAULTS: list[Callable[[], Exception]] = [
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: can't allocate memory: you"),
    MemoryError,
]
MEMORY_NAMES = ["cuda", "cpu", "python"]


def crowded(encoder: BatchEncoder[Any], fits: int, fault: Callable[[], Exception]) -> list[int]:
    """Limit the model to `fits` items at a time; return the growing list of its batch sizes."""
    runtime, taken = encoder._runtime, []

    def run(*inputs: torch.Tensor) -> npt.NDArray[np.float32]:
        if len(inputs[0]) > fits:
            raise fault()
        taken.append(len(inputs[0]))
        return runtime(*inputs)

    encoder._runtime = run  # type: ignore[assignment]
    return taken


@pytest.mark.parametrize("fault", MEMORY_FAULTS, ids=MEMORY_NAMES)
@pytest.mark.parametrize("fits", [1, 3])
def test_a_batch_that_does_not_fit_into_memory_is_halved(
    tiny_encoder: BatchEncoder[Any], fault: Callable[[], Exception], fits: int
) -> None:
    before = encode(tiny_encoder, *GOOD)
    taken = crowded(tiny_encoder, fits, fault)
    outcomes = encode(tiny_encoder, *GOOD)
    assert all(close(one, other, 1e-5) for one, other in zip(outcomes, before, strict=True))
    assert sum(taken) == len(GOOD)
    assert max(taken) <= fits


@pytest.mark.parametrize("fault", MEMORY_FAULTS, ids=MEMORY_NAMES)
def test_out_of_memory_for_a_single_item_is_no_rejection(
    tiny_encoder: BatchEncoder[Any], fault: Callable[[], Exception]
) -> None:
    crowded(tiny_encoder, 0, fault)
    with pytest.raises(Unavailable, match="out of memory"):
        encode(tiny_encoder, GOOD[0])


@pytest.mark.parametrize("fault", [MEMORY_FAULTS[0], MemoryError, OutOfMemory], ids=["cuda", "python", "own"])
def test_out_of_memory_before_the_model_is_no_rejection(
    tiny_encoder: BatchEncoder[Any], monkeypatch: pytest.MonkeyPatch, fault: Callable[[], Exception]
) -> None:
    # Building the tensors of a batch and moving them to the device also take memory.
    real, cat = tiny_encoder.inputs, tiny_encoder._model._tokenizer.token_to_id("cat")

    def inputs(batch: Sequence[Any]) -> Any:
        if any(set(each.ids[1:-1].tolist()) == {cat} for each in batch):  # the long one, and not the probe
            raise fault()
        return real(batch)

    monkeypatch.setattr(tiny_encoder, "inputs", inputs)
    with pytest.raises(Unavailable, match="out of memory"):
        encode(tiny_encoder, GOOD[0], "cat " * 100)


def test_out_of_memory_in_the_tokenizer_is_no_rejection(
    tiny_encoder: BatchEncoder[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Tokenizer:
        def encode_batch_fast(self, texts: list[str]) -> Any:
            raise MemoryError

    monkeypatch.setattr(tiny_encoder._model, "_tokenizer", Tokenizer())
    with pytest.raises(Unavailable, match="out of memory"):
        encode(tiny_encoder, GOOD[0])


TOKENS = "where is my cats ?"


@pytest.fixture(scope="session")
def states(tiny_folder: Path) -> tuple[npt.NDArray[np.float32], ...]:
    """The hidden states of TOKENS, each of shape (tokens, dimension), from the model itself."""
    ids = AutoTokenizer.from_pretrained(tiny_folder)(TOKENS, return_tensors="pt")
    with torch.inference_mode():
        output = BertModel.from_pretrained(tiny_folder).eval()(**ids, output_hidden_states=True)
    return tuple(each[0].numpy() for each in output.hidden_states)


POOLED: dict[str, Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]] = {
    "mean": lambda states: states.sum(axis=0) / len(states),
    "cls": lambda states: states[0],
    "max": lambda states: states.max(axis=0),
}


@pytest.mark.parametrize("l2_normalise", [True, False])
@pytest.mark.parametrize("layer", [-1, 1, 0, -3])
@pytest.mark.parametrize("pooling", POOLED)
def test_pooling_layer_and_normalisation_equal_their_definition(
    tiny_spec: MakeSpec,
    states: tuple[npt.NDArray[np.float32], ...],
    pooling: str,
    layer: int,
    l2_normalise: bool,
) -> None:
    spec = tiny_spec(pooling=pooling, layer=layer, l2_normalise=l2_normalise)
    encoder = build(spec, torch.device("cpu"))
    expected = POOLED[pooling](states[layer])
    if l2_normalise:
        expected = expected / np.sqrt((expected**2).sum())
    # In a batch with a longer text, so that an error of padding would be visible.
    found = vector(encode(encoder, "cat " * 10, TOKENS)[1])
    assert np.abs(found - expected).max() < 1e-5
    assert bool(abs(np.linalg.norm(found) - 1) < 1e-5) is l2_normalise


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
def test_normalisation_makes_spellings_equal(tiny_copy: Path, tiny_spec: MakeSpec, form: str) -> None:
    tokenizer = json.loads((tiny_copy / "tokenizer.json").read_text())
    tokenizer["normalizer"] = None  # the normalizer of the tokenizer would make them equal too
    tokenizer["model"]["vocab"] |= {"é": 90, "ﬁ": 91, "fi": 92}
    (tiny_copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    sizes = {"weights": {"source": f"path:{tiny_copy}", "files": {"model.safetensors": None, "config.json": None}}}
    _grow(tiny_copy, 100)

    def encoder(normalisation: str) -> BatchEncoder[Any]:
        preprocessing = {"normalisation": normalisation}
        return build(tiny_spec(preprocessing=preprocessing, **sizes), torch.device("cpu"))

    composed, apart = "é", unicodedata.normalize("NFD", "é")
    assert close(*encode(encoder(form), composed, apart), 1e-6)
    assert not close(*encode(encoder("none"), composed, apart), 1e-6)
    assert close(*encode(encoder(form), "ﬁ", "fi"), 1e-6) is (form == "NFKC")


def _grow(folder: Path, size: int) -> None:
    """Resize the vocabulary of the tiny model."""
    model = BertModel.from_pretrained(folder)
    model.resize_token_embeddings(size, mean_resizing=False)
    model.save_pretrained(folder)

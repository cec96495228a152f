"""The same work with common libraries, written as their documentation describes."""

import shutil
from pathlib import Path
from typing import Any

import apache_beam as beam
import torch
from apache_beam.ml.inference.base import PredictionResult, RunInference
from apache_beam.ml.inference.pytorch_inference import PytorchModelHandlerTensor
from apache_beam.ml.transforms.base import MLTransform
from apache_beam.ml.transforms.embeddings.huggingface import SentenceTransformerEmbeddings
from PIL import Image
from torchvision import models

from benchmarks.figures import Side, seconds
from benchmarks.work import Work
from encoders import checkpoint, weights
from encoders.families.torchvision_image import TorchvisionSpec

SMALL_RUN = ", few"
"""Suffix of the sides that run over a few items only."""
_BATCH = 32
_RUNNER = ["--runner=FnApiRunner"]


def sides(work: Work, folder: Path, few: int) -> dict[str, Side]:
    """Return the sides for images or texts; a pipeline also over a few items, to know how long its start takes."""
    if isinstance(work.spec, TorchvisionSpec):
        name = "Beam RunInference"
        return {name: _run_inference(work, folder), name + SMALL_RUN: _run_inference(work.first(few), folder)}
    texts = [payload.decode() for payload in work.payloads]
    model = weights.find(work.spec)
    return {
        "transformers, in order": _in_order(texts, model),
        "sentence-transformers": _sentence_transformers(texts, model),
        "Beam MLTransform": _ml_transform(texts, model, folder),
        "Beam MLTransform" + SMALL_RUN: _ml_transform(texts[:few], model, folder),
    }


def _run_inference(work: Work, folder: Path) -> Side:
    """Files decoded by Pillow, the transforms of torchvision's weights, Beam's model handler for torch."""
    spec = work.spec
    assert isinstance(spec, TorchvisionSpec)  # noqa: S101 - `sides` has checked it
    paths = []
    for number, payload in enumerate(work.payloads):
        path = folder / f"{number}.jpg"
        path.write_bytes(payload)
        paths.append(str(path))
    state = folder / "state.pt"
    torch.save(checkpoint.read(spec), state)
    architecture = getattr(models, spec.architecture)
    handler = PytorchModelHandlerTensor(state_dict_path=str(state), model_class=architecture, model_params={})
    decode = _Decode(models.get_model_weights(spec.architecture)["IMAGENET1K_V1"])
    return lambda: _time_pipeline(paths, beam.Map(decode) | RunInference(handler) | beam.Map(_vector))


class _Decode:
    def __init__(self, preset: Any) -> None:
        self._transforms = preset.transforms()

    def __call__(self, path: str) -> torch.Tensor:
        transformed: torch.Tensor = self._transforms(Image.open(path).convert("RGB"))
        return transformed


def _vector(result: PredictionResult) -> list[float]:
    values: list[float] = result.inference.numpy()
    return values


def _time_pipeline(inputs: list[Any], steps: beam.PTransform) -> float:
    def pipeline() -> None:
        with beam.Pipeline(options=beam.options.pipeline_options.PipelineOptions(_RUNNER)) as opened:
            opened | beam.Create(inputs) | steps

    return seconds(pipeline)


def _in_order(texts: list[str], model: Path) -> Side:
    """As on the model's page: batches of 32 texts in order of arrival, padded, and the mean over the mask."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, network = AutoTokenizer.from_pretrained(model), AutoModel.from_pretrained(model).eval()

    def encode(batch: list[str]) -> torch.Tensor:
        tokens = tokenizer(batch, padding=True, truncation=True, max_length=256, return_tensors="pt")
        with torch.inference_mode():
            states = network(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1).float()
        return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)

    return lambda: seconds(lambda: [encode(texts[at : at + _BATCH]) for at in range(0, len(texts), _BATCH)])


def _sentence_transformers(texts: list[str], model: Path) -> Side:
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(str(model), device="cpu", local_files_only=True)
    return lambda: seconds(lambda: loaded.encode(texts, batch_size=_BATCH, show_progress_bar=False))


def _ml_transform(texts: list[str], model: Path, folder: Path) -> Side:
    artifacts = folder / "artifacts"

    def once() -> float:
        shutil.rmtree(artifacts, ignore_errors=True)
        embeddings = SentenceTransformerEmbeddings(model_name=str(model), columns=["text"])
        steps = MLTransform(write_artifact_location=str(artifacts)).with_transform(embeddings)
        return _time_pipeline([{"text": text} for text in texts], steps)

    return once

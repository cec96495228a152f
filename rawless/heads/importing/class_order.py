"""Reading the classes that a model names itself, in the order of its output columns."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import yaml
from onnx import TensorProto, numpy_helper

from rawless.errors import UserError

MAX_LENGTH = 100_000
"""The maximum number of characters of a text that names classes."""
CONFIG, CONFIG_KEY = "config.json", "id2label"
"""The file of Hugging Face beside a model, and its entry with the classes."""
_METADATA = ("classes", "labels", "id2label")
_LABELS = {"classlabels_strings", "classlabels_int64s", "classlabels_ints"}
"""Attributes of ZipMap and of the classifiers of ai.onnx.ml."""
_LABEL_TYPES = {TensorProto.STRING, TensorProto.INT64, TensorProto.INT32}


class NamedClasses(NamedTuple):
    """Classes in the order of the output's columns, and what names them."""

    names: tuple[str, ...]
    source: str


def named_classes(model: onnx.ModelProto, columns: int, folder: Path) -> tuple[NamedClasses, ...]:
    """Return the classes by all that names them, the most specific first. Raises UserError.

    Names in the graph are its own. The numbers there may be those of an encoding of the labels, so that the metadata
    of the model and the config.json in `folder` come before them.
    """
    words, numbers = _of_graph(model.graph, columns)
    stored = [NamedClasses(_listed(*entry), f"its metadata `{entry[0]}`") for entry in _metadata(model)]
    if (labels := _of_config(folder / CONFIG)) is not None:
        stored.append(NamedClasses(labels, f"{CONFIG_KEY} in {folder / CONFIG}"))
    return (*words, *stored, *numbers)


def _of_graph(graph: onnx.GraphProto, columns: int) -> tuple[list[NamedClasses], list[NamedClasses]]:
    """Return the names and the numbers that a graph gives to its classes.

    Exporters write them as an attribute of the classifier, or as a constant from which the label is taken. A model may
    consist of several classifiers; those of another number of classes are its inner ones.
    """
    found = {
        are_numbers: names for names, are_numbers in _labels(graph) if len(names) == columns == len(set(names))
    }  # the last ones of each kind
    words, numbers = (
        [NamedClasses(found[kind], "its label output")] if kind in found else [] for kind in (False, True)
    )
    return words, numbers


def _labels(graph: onnx.GraphProto) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Return labels, and whether they are numbers."""
    constants = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type in _LABEL_TYPES}
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in _LABELS:
                yield _texts(attribute.strings), False
                yield tuple(map(str, attribute.ints)), True
        if node.op_type == "ArrayFeatureExtractor" and node.input and node.input[0] in constants:
            tensor = constants[node.input[0]]
            yield _constant(tensor), tensor.data_type != TensorProto.STRING


def _constant(tensor: onnx.TensorProto) -> tuple[str, ...]:
    if tensor.data_type == TensorProto.STRING:
        return _texts(tensor.string_data)
    try:
        values = np.asarray(numpy_helper.to_array(tensor)).ravel()
    except Exception:  # noqa: BLE001 - of an untrusted constant, which is refused elsewhere if it is needed
        return ()
    return tuple(map(str, values.tolist()))


def _texts(values: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(value.decode("utf-8", "replace") for value in values)


def _metadata(model: onnx.ModelProto) -> list[tuple[str, str]]:
    entries = {entry.key: entry.value for entry in model.metadata_props}
    return [(key, entries[key]) for key in _METADATA if key in entries]


def _listed(key: str, text: str) -> tuple[str, ...]:
    """Return the classes of a metadata entry: a list or mapping in JSON or as Python prints it, or a,b,c."""
    where = f"The model's metadata `{key}`"
    if len(text) > MAX_LENGTH:
        raise UserError(f"{where} has {len(text):,} characters, but it may have {MAX_LENGTH:,}: export it without.")
    if not text.lstrip().startswith(("[", "{")):
        return tuple(name.strip() for name in text.replace("\n", ",").split(",") if name.strip())
    try:
        return _in_order(yaml.safe_load(text), where)  # YAML contains both notations
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"{where} is not a list of names ({type(error).__name__}): export it again.") from None


def _of_config(path: Path) -> tuple[str, ...] | None:
    """Return the classes of a config.json, or None if there is none or it names none."""
    try:
        if path.stat().st_size > 10 * MAX_LENGTH:
            return None
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None  # another tool's file
    labels = config.get(CONFIG_KEY) if isinstance(config, dict) else None
    return None if labels is None else _in_order(labels, f"{CONFIG_KEY} in {path}")


def _in_order(labels: object, where: str) -> tuple[str, ...]:
    """Return the classes of a list, or of a mapping whose keys are the columns. Raises UserError."""
    names = labels
    if isinstance(labels, dict):
        columns = {str(key): name for key, name in labels.items()}
        names = [columns.get(str(column)) for column in range(len(labels))]
    if not isinstance(names, list) or not all(type(name) in (str, int) for name in names):
        raise UserError(
            f"{where} is not a list of names, or a mapping from the columns 0, 1, … to names: correct it, or remove it "
            "and use --classes."
        )
    return tuple(map(str, names))

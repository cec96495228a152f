"""Reading the classes that a model names itself, in the order of its output columns."""

from collections.abc import Iterable, Iterator

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

_LABELS = {"classlabels_strings", "classlabels_int64s", "classlabels_ints"}
"""Attributes of the classifiers of ai.onnx.ml."""
_LABEL_TYPES = {TensorProto.STRING, TensorProto.INT64, TensorProto.INT32}


def classes_of(model: onnx.ModelProto, columns: int) -> tuple[str, ...]:
    """Return the names of a model's classes, or none when it does not say them.

    Exporters write them as an attribute of the classifier, or as a constant from which the label is taken. A model may
    consist of several classifiers; those of another number of classes are its inner ones.
    """
    named = [names for names in _names(model.graph) if len(names) == columns and len(set(names)) == columns]
    return named[-1] if named else ()


def _names(graph: onnx.GraphProto) -> Iterator[tuple[str, ...]]:
    constants = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type in _LABEL_TYPES}
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in _LABELS:
                yield from (_texts(attribute.strings), tuple(map(str, attribute.ints)))
        if node.op_type == "ArrayFeatureExtractor" and node.input and node.input[0] in constants:
            yield _constant(constants[node.input[0]])


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

"""The signature of an imported model: which of its inputs are vectors, and which output is the answer."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import onnx
from onnx import TensorProto

from rawless.errors import UserError
from rawless.heads.importing.onnx_reader import type_name
from rawless.heads.signature import BATCH, Interface

INTERFACES = {1: Interface.ITEM, 2: Interface.PAIR}
"""By the number of inputs."""
ZIP_MAP = "ZipMap"
"""The operator with which skl2onnx makes a mapping from classes to probabilities; a head returns what it reads."""
_LABEL_TYPES = {TensorProto.INT64, TensorProto.INT32, TensorProto.STRING}


class TensorInfo(NamedTuple):
    """A tensor as a model declares it; None in its shape is any number."""

    name: str
    shape: tuple[int | str | None, ...] | None
    type: str


class ModelSignature(NamedTuple):
    """The tensors of a model, with the names that it was exported with."""

    inputs: tuple[TensorInfo, ...]
    output: TensorInfo
    labels: tuple[TensorInfo, ...]
    """Outputs that are left out of the head."""
    constants: tuple[TensorInfo, ...]


def read_signature(model: onnx.ModelProto, dimension: int, path: Path) -> ModelSignature:
    """Return the signature of a model over vectors of this dimension.

    Raises UserError that names the tensor that does not fit, and the fix.
    """
    graph = model.graph
    constants = tuple(
        TensorInfo(tensor.name, tuple(tensor.dims), type_name(tensor.data_type)) for tensor in graph.initializer
    )
    constant_names = {tensor.name for tensor in constants}
    inputs = tuple(_tensor_info(info) for info in graph.input if info.name not in constant_names)
    if len(inputs) not in INTERFACES:
        raise UserError(
            f"The model {path} has {_count('input', inputs)}, but a head takes one vector, or the two of a pair."
        )
    if {tensor.name for tensor in inputs} == set(Interface.ITEM_WITH_FEATURES.value):
        raise UserError(
            f"The model {path} takes features beside the vector, but an imported head takes vectors alone: train it "
            "with `rawless head train`, or export a model of the vector."
        )
    for tensor in inputs:
        _check_input(tensor, dimension, path)
    if {tensor.name for tensor in inputs} == set(Interface.PAIR.value):
        inputs = tuple(sorted(inputs))
    output, labels = _outputs(graph, path)
    return ModelSignature(inputs, output, labels, constants)


def _tensor_info(info: onnx.ValueInfoProto) -> TensorInfo:
    kind = info.type.WhichOneof("value")
    if kind != "tensor_type":
        return TensorInfo(info.name, None, (kind or "untyped").removesuffix("_type"))
    tensor = info.type.tensor_type
    shape = tuple(dimension.dim_param or dimension.dim_value or None for dimension in tensor.shape.dim)
    return TensorInfo(info.name, shape if tensor.HasField("shape") else None, type_name(tensor.elem_type))


def _check_input(tensor: TensorInfo, dimension: int, path: Path) -> None:
    where = f"The input {tensor.name} of {path}"
    if tensor.type != "float32":
        raise UserError(f"{where} is {tensor.type}, but vectors are float32: export the model with float32 inputs.")
    if tensor.shape is None or len(tensor.shape) != 2:
        raise UserError(
            f"{where} has the shape {format_shape(tensor.shape)}, but vectors have the shape [{BATCH}, {dimension}]."
        )
    batch, width = tensor.shape
    if isinstance(batch, int) and batch > 1:
        raise UserError(f"{where} takes exactly {batch} rows: export it with a dynamic first dimension.")
    if width != dimension:
        raise UserError(
            f"{where} has the shape {format_shape(tensor.shape)}, but vectors of this encoder have {dimension} values: "
            "train a model on them, or name the encoder that the model was trained on."
        )


def _outputs(graph: onnx.GraphProto, path: Path) -> tuple[TensorInfo, tuple[TensorInfo, ...]]:
    """Return the one float32 output, and those that are labels."""
    mapped = {node.output[0]: node.input[0] for node in graph.node if node.op_type == ZIP_MAP and node.output}
    labels = tuple(_tensor_info(info) for info in graph.output if info.type.tensor_type.elem_type in _LABEL_TYPES)
    others = [
        TensorInfo(mapped[tensor.name], (None, None), "float32") if tensor.name in mapped else tensor
        for tensor in map(_tensor_info, graph.output)
        if tensor not in labels
    ]
    outputs = [tensor for tensor in others if tensor.type == "float32"]
    if wrong := [tensor for tensor in others if tensor.type != "float32"]:
        raise UserError(
            f"The output {wrong[0].name} of {path} is {wrong[0].type}, but a head's output is float32: export it as "
            "float32."
        )
    if len(outputs) != 1:
        raise UserError(
            f"The model {path} has {_count('float32 output', outputs)}, but a head has one: export only that one."
        )
    (output,) = outputs
    if output.shape is None or len(output.shape) not in (1, 2):
        raise UserError(
            f"The output {output.name} of {path} has the shape {format_shape(output.shape)}, but a head's output has "
            f"the shape [{BATCH}] or [{BATCH}, columns]."
        )
    return output, labels


def format_shape(shape: Sequence[int | str | None] | None) -> str:
    """Return a shape in brackets, with ? for any number."""
    return "of unknown rank" if shape is None else f"[{', '.join(str(size or '?') for size in shape)}]"


def _count(what: str, tensors: Sequence[TensorInfo]) -> str:
    names = f" ({', '.join(tensor.name for tensor in tensors[:5])})" if tensors else ""
    return f"{len(tensors) or 'no'} {what}{'' if len(tensors) == 1 else 's'}{names}"

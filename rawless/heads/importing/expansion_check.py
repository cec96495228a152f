"""Checking the operators of an imported model whose output has a computed size: it could fill a service's memory."""

import math

import onnx
from onnx import TensorProto

from rawless.heads.signature import BATCH

MAX_VALUES = 65_536
"""The maximum number of values for each row in the output of such an operator."""
OPERATORS = {"ConstantOfShape", "Einsum", "Expand", "Pad"}


class ExpansionError(Exception):
    """The name of an operator whose output is too large, or of a size that is only known when the graph runs."""


def check_expansions(model: onnx.ModelProto) -> None:
    """Check that each such operator has an output of a known and bounded size for each row. Raises ExpansionError.

    Shapes are inferred from those of the inputs, whose first dimension is `BATCH`, and from constants. What depends on
    the values of vectors has no inferred size.
    """
    outputs = {node.output[0]: node.op_type for node in model.graph.node if node.op_type in OPERATORS}
    if not outputs:
        return
    _skip_flattening(model)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = _shapes(inferred)
    for name, operator in outputs.items():
        if name not in shapes:
            raise ExpansionError(operator)
        sizes = [dimension.dim_value for dimension in shapes[name].dim if dimension.dim_param != BATCH]
        batches = len(shapes[name].dim) - len(sizes)
        if batches > 1 or 0 in sizes or math.prod(sizes) > MAX_VALUES:
            raise ExpansionError(operator)


def _skip_flattening(model: onnx.ModelProto) -> None:
    """Let sizes pass a Reshape of a list to a list, which inference does not follow. Torch exports it for keepdim."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    lists = {info.name for info in inferred.value_info if _is_list(info)}
    same: dict[str, str] = {}
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = same.get(name, name)
        if node.op_type == "Reshape" and node.input[0] in lists and node.output[0] in lists:
            same[node.output[0]] = node.input[0]


def _is_list(info: onnx.ValueInfoProto) -> bool:
    tensor = info.type.tensor_type
    return tensor.elem_type == TensorProto.INT64 and tensor.HasField("shape") and len(tensor.shape.dim) == 1


def _shapes(graph: onnx.GraphProto) -> dict[str, onnx.TensorShapeProto]:
    return {
        info.name: info.type.tensor_type.shape
        for info in (*graph.value_info, *graph.output)
        if info.type.tensor_type.HasField("shape")
    }
